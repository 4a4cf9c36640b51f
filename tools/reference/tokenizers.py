"""Small tokenizers of every kind that a tokenizer.json may describe, with ids and texts by the
`tokenizers` package, the independent truth of crates/tokenizer/tests/json.rs.

    pip install tokenizers==0.22.1
    python tools/reference/tokenizers.py crates/tokenizer/tests/fixtures

writes one JSON a kind: {"tokenizer": .., "cases": [[text, ids, ids with start and end, text of the
ids]]}. A second argument, a tokenizer.json, writes the cases of that file to standard output.
"""

import json
import sys
from pathlib import Path

# This file has the name of the package that it uses.
sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).parent]

from tokenizers import (  # noqa: E402
    AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors,
    trainers,
)

TEXTS = [
    "", " ", "Hello world", "  Hello,  WORLD! ", "don't you'LL we're", "camelCase XMLHttp i18n",
    "3.14159 and 1234567", "a\tb\nc\r\n\n  d", "naïve Café ÉCOLE straße", "e\u0301clair A\u030a",
    "Привет, мир! Как дела?", "你好，世界。漢字かな交じり文", "한국어 텍스트 입니다", "नमस्ते दुनिया",
    "مرحبا بالعالم", "שלום עולם", "สวัสดีชาวโลก", "γειά σου Κόσμε", "😀👍🏽 ok 👨‍👩‍👧",
    "def f(x): return x**2  # note", "https://example.org/a?b=c&d=e_f", "ﬁne ① ½ ™ …",
    "a\u00a0b\u3000c\u200bd", "(\"quoted\") [x] {y} <z> @#$%^&*", "<s>Hi</s> [MASK] there",
    "<|x|> one <|x|>two<|x|>", "cat concat cat. CAT", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "▁under▁scores_ __init__", "\u0000\u0007bell", "x" * 120,
]

CORPUS = [
    "The cat sat on the mat and the rain in Spain falls mainly on the plain.",
    "Hello world, hello there! Don't you think we're done? They'll say it's 1234 or 3.14.",
    "def return import class camelCase HttpServer example.org quoted under scores note two one",
    "naïve café école straße éclair привет мир как дела", "你好世界 漢字かな交じり文 한국어 텍스트",
] * 4

LLAMA_3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
           r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level():
    """GPT-2: bytes, a space before the text, added tokens that take white space."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tok.decoder = decoders.ByteLevel()
    train = trainers.BpeTrainer(
        vocab_size=340, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tok.train_from_iterator(CORPUS, train)
    tok.add_special_tokens([AddedToken("<|x|>", lstrip=True, rstrip=True)])
    tok.add_tokens([AddedToken("cat", single_word=True, normalized=False), "__"])
    return tok


def llama3():
    """Llama 3: a pattern, whole words first, a start token."""
    tok = Tokenizer(models.BPE(ignore_merges=True))
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA_3), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    train = trainers.BpeTrainer(
        vocab_size=340, special_tokens=["<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tok.train_from_iterator(CORPUS, train)
    tok.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 0)])])
    return tok


def llama2():
    """Llama 2: characters, merges over whole texts, bytes for what is unknown."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tok.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
    train = trainers.BpeTrainer(vocab_size=500, special_tokens=special, show_progress=False)
    tok.train_from_iterator(CORPUS, train)
    spec = json.loads(tok.to_str())
    spec["added_tokens"] = spec["added_tokens"][:3]
    tok = Tokenizer.from_str(json.dumps(spec))
    tok.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
        decoders.Strip(" ", 1, 0)])
    tok.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return tok


def metaspace():
    """Mistral's later files: a space before the first text only, words apart, unknown neighbours one."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tok.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    tok.decoder = decoders.Metaspace(prepend_scheme="first", split=True)
    train = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False)
    tok.train_from_iterator(CORPUS, train)
    tok.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>",
        special_tokens=[("<s>", 1), ("</s>", 2)])
    return tok


def unigram():
    """T5 and XLM-RoBERTa: a sum of scores, white space made one."""
    tok = Tokenizer(models.Unigram())
    tok.normalizer = normalizers.Sequence([
        normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " "),
        normalizers.Strip(left=False, right=True)])
    tok.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    tok.decoder = decoders.Metaspace(prepend_scheme="always", split=True)
    train = trainers.UnigramTrainer(
        vocab_size=260, special_tokens=["<s>", "</s>", "<unk>"], unk_token="<unk>",
        show_progress=False)
    tok.train_from_iterator(CORPUS, train)
    tok.add_special_tokens([AddedToken("[MASK]", lstrip=True)])
    tok.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    return tok


def wordpiece():
    """BERT: lower case, no accents, Chinese characters apart."""
    tok = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tok.normalizer = normalizers.BertNormalizer()
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    train = trainers.WordPieceTrainer(vocab_size=320, special_tokens=special, show_progress=False)
    tok.train_from_iterator(CORPUS, train)
    tok.add_tokens([AddedToken("Camel", normalized=True)])
    tok.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tok


def steps():
    """Steps that fewer files have: punctuation, digits, patterns that merge."""
    tok = Tokenizer(models.BPE(unk_token="<unk>"))
    tok.normalizer = normalizers.Sequence([
        normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.NFC(),
        normalizers.Replace("``", '"')])
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("merged_with_previous"),
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.Split("_", "merged_with_next"),
        pre_tokenizers.Split(Regex(r"[\p{Han}\p{Hiragana}]"), "contiguous"),
        pre_tokenizers.Split(Regex(r"[aeiou]+n"), "removed", invert=False)])
    train = trainers.BpeTrainer(
        vocab_size=220, special_tokens=["<unk>"], show_progress=False)
    tok.train_from_iterator(CORPUS, train)
    return tok


def cases(tok):
    rows = []
    for text in TEXTS:
        bare = tok.encode(text, add_special_tokens=False).ids
        whole = tok.encode(text).ids
        rows.append([text, bare, whole, tok.decode(bare, skip_special_tokens=False)])
    return rows


def main():
    if len(sys.argv) > 2:
        tok = Tokenizer.from_file(sys.argv[2])
        tok.no_truncation()
        tok.no_padding()
        json.dump(cases(tok), sys.stdout)
        return
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for make in [byte_level, llama2, llama3, metaspace, steps, unigram, wordpiece]:
        tok = make()
        fixture = {"tokenizer": json.loads(tok.to_str()), "cases": cases(tok)}
        text = json.dumps(fixture, ensure_ascii=False, separators=(",", ":")) + "\n"
        path = folder / f"{make.__name__}.json"
        path.write_text(text, encoding="utf-8")
        print(path, len(text.encode()))


main()

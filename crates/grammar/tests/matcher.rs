//! Matchers step by step: masks, ends, reasoning; and what is refused.

mod support;

use std::sync::Arc;

use grammar::{Error, Grammar, Kind, Limits, Matcher, Reasoning, Syntax, Vocabulary, Word};
use support::{END, bytes, cache, compile, fits, fits_tokens, read};

/// Bytes, then an end, then control tokens and a token that runs over the end of reasoning.
const THINK: u32 = 257;
const THINK_END: u32 = 258;
const OVER: u32 = 259;
const NEWLINES: u32 = 260;

fn with_markers() -> Arc<Vocabulary> {
    let all: Vec<u8> = (0..=255).collect();
    let more = [
        Word::Control(b"<|end|>"),
        Word::Control(b"<think>"),
        Word::Control(b"</think>"),
        Word::Text(b">7"),
        Word::Text(b"\n\n"),
    ];
    let words = all.chunks(1).map(Word::Text).chain(more);
    Vocabulary::new(words, &[END], Limits::default()).expect("a sound vocabulary")
}

fn allowed(matcher: &mut Matcher) -> Vec<u32> {
    let mask = matcher.mask().expect("a mask");
    (0..300).filter(|id| mask.allows(*id)).collect()
}

fn push(matcher: &mut Matcher, text: &str) {
    for byte in text.bytes() {
        assert!(matcher.mask().expect("a mask").allows(byte.into()), "{text}: {byte}");
        matcher.accept(byte.into()).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

fn ids(text: &str) -> Vec<u32> {
    text.bytes().map(u32::from).collect()
}

#[test]
fn an_answer_ends_where_it_is_whole() {
    let grammar = compile(&bytes(), Kind::Choice, r#"["no", "not", "yes"]"#);
    let mut matcher = grammar.matcher(None);
    assert_eq!(allowed(&mut matcher), ids("ny"));
    push(&mut matcher, "n");
    assert_eq!(allowed(&mut matcher), ids("o"));
    assert!(!matcher.may_end() && matcher.accept(END).is_err());
    push(&mut matcher, "o");
    assert!(matcher.may_end() && !matcher.is_finished());
    assert_eq!(allowed(&mut matcher), [ids("t"), vec![END]].concat());
    let mut other = matcher.clone();
    push(&mut matcher, "t");
    assert!(matcher.is_finished());
    assert_eq!(allowed(&mut matcher), [END]);
    assert_eq!(matcher.accept(u32::from(b'x')), Err(Error::Refused(u32::from(b'x'))));
    other.accept(END).expect("an end may come");
    assert!(other.is_finished(), "a copy goes its own way");
}

#[test]
fn a_mask_takes_the_rest_out() {
    let mut matcher = compile(&bytes(), Kind::Regex, "[ab]c").matcher(None);
    let mut logits = vec![1.0; 300];
    matcher.mask().expect("a mask").apply(&mut logits);
    let kept: Vec<u32> = (0..).zip(&logits).filter(|(_, it)| **it == 1.0).map(|it| it.0).collect();
    assert_eq!(kept, ids("ab"));
    assert!(logits.iter().all(|logit| *logit == 1.0 || *logit == f32::NEG_INFINITY));
}

#[test]
fn the_grammar_holds_after_the_reasoning() {
    let vocabulary = with_markers();
    let grammar = compile(&vocabulary, Kind::Regex, "[0-9]+");
    let reasoning =
        Reasoning { open: Some("<think>".into()), close: "</think>".into(), is_open: false };
    let mut matcher = grammar.matcher(Some(&reasoning));
    // At once the answer, or the marker: as one token, or letter by letter.
    assert_eq!(allowed(&mut matcher), [ids("0123456789<"), vec![THINK]].concat());
    let mut spelled = matcher.clone();
    push(&mut spelled, "<think>x</");
    assert!(!spelled.may_end() && spelled.accept(END).is_err(), "no end while it thinks");
    matcher.accept(THINK).expect("the marker");
    push(&mut matcher, "not 7 but {8}</think");
    let now = allowed(&mut matcher);
    assert!(!now.contains(&OVER), "what it goes on with was not checked");
    assert!(now.contains(&u32::from(b'>')) && !now.contains(&END));
    assert!(matcher.clone().accept(OVER).is_err());
    push(&mut matcher, ">");
    assert_eq!(allowed(&mut matcher), [ids("\n 0123456789"), vec![NEWLINES]].concat());
    matcher.accept(NEWLINES).expect("white space between");
    push(&mut matcher, "42");
    assert_eq!(allowed(&mut matcher), [ids("0123456789"), vec![END]].concat());
}

#[test]
fn reasoning_that_the_prompt_began_ends_by_its_marker() {
    let grammar = compile(&with_markers(), Kind::JsonObject, "");
    let reasoning = Reasoning { open: None, close: "</think>".into(), is_open: true };
    let mut matcher = grammar.matcher(Some(&reasoning));
    push(&mut matcher, "hm < </ </t");
    matcher.accept(THINK_END).expect("the marker as a token");
    push(&mut matcher, "{\"a\": [1, null]}");
    assert!(matcher.may_end());
}

fn text(text: &str) -> Syntax {
    Syntax::Text(text.to_owned())
}

fn free(without: &str, end: &str, least: usize, most: Option<usize>) -> Syntax {
    Syntax::Free { without: without.to_owned(), end: end.to_owned(), least, most }
}

fn words(end: Option<&str>) -> Syntax {
    let (not_first, without) = (vec!["{".to_owned()], vec!["<c>".to_owned(), "<call>".to_owned()]);
    Syntax::Words { not_first, without, end: end.map(str::to_owned) }
}

#[test]
fn parts_make_a_grammar() {
    let digit = || Box::new(Syntax::of(Kind::Regex, "[0-9]"));
    let several = Syntax::Several { item: digit(), between: Box::new(text(",")) };
    let maybe = Syntax::Maybe(Box::new(Syntax::Row(vec![text("b"), text("/\"c")])));
    let cases: &[(Syntax, &[&str], &[&str])] = &[
        (
            Syntax::Row(vec![text("a"), maybe, several]),
            &["a1", "ab/\"c1,2,3"],
            &["a", "ab1", "a1,"],
        ),
        (Syntax::OneOf(vec![text("find"), text("find_all")]), &["find", "find_all"], &["find_"]),
        (free("</p>", "</p>", 0, None), &["</p>", "a\n<b></p>"], &["a", "a</p>b</p>"]),
        (
            free("</p>", "\n</p>", 1, Some(3)),
            &["x\n</p>", "a\nb\n</p>"],
            &["\n</p>", "abcd\n</p>", "a</p>\n</p>"],
        ),
        (Syntax::Row(vec![Syntax::Marker("<think>".to_owned()), text("x")]), &["<think>x"], &["x"]),
        (words(None), &["so", " a < {1}", "<c"], &["{", " \n{}", "a <c> b", "<c>", ""]),
        (
            Syntax::Row(vec![words(Some("<call>")), text("1")]),
            &["<call>1", "a {}\n<call>1"],
            &["{}<call>1", "a<c><call>1", "<call>", "a"],
        ),
    ];
    for (syntax, good, bad) in cases {
        let grammar = Grammar::of(&bytes(), syntax).unwrap_or_else(|error| panic!("{error}"));
        for text in *good {
            assert!(fits(&grammar, text.as_bytes()), "{syntax:?}: {text}");
        }
        for text in *bad {
            assert!(!fits(&grammar, text.as_bytes()), "{syntax:?}: {text}");
        }
    }
}

#[test]
fn markers_are_tokens_where_there_are_such() {
    let end = free("</think>", "</think>", 0, Some(2));
    let syntax = Syntax::Row(vec![Syntax::Marker("<think>".to_owned()), end]);
    let grammar = Grammar::of(&with_markers(), &syntax).expect("sound");
    let check = |tokens: &[u32], expect: bool| {
        assert_eq!(fits_tokens(grammar.matcher(None), tokens.iter().copied(), END), expect);
    };
    check(&[THINK, THINK_END], true);
    check(&[THINK, 65, 66, THINK_END], true);
    check(&[THINK, 65, 66, 67, THINK_END], false);
    check(&[&ids("<think>"), &[THINK_END][..]].concat(), false);
    check(&[&[THINK][..], &ids("</think>")].concat(), false);
    let grammar = Grammar::of(&with_markers(), &words(Some("<think>"))).expect("sound");
    let check = |tokens: &[u32], expect: bool| {
        assert_eq!(fits_tokens(grammar.matcher(None), tokens.iter().copied(), END), expect);
    };
    check(&[THINK], true);
    check(&[65, 66, THINK], true);
    check(&[u32::from(b'{'), THINK], false);
    check(&ids("<c>"), false);
}

#[test]
fn a_source_that_is_wrong_is_named_by_its_owner() {
    let of = |owner: Option<&str>, source: &str| Syntax::Source {
        kind: Kind::JsonSchema,
        source: source.to_owned(),
        owner: owner.map(str::to_owned),
    };
    let check = |parts: Vec<Syntax>, expect: &str| {
        let error = Grammar::of(&bytes(), &Syntax::OneOf(parts)).expect_err(expect).to_string();
        assert!(error.starts_with(expect), "{error}");
    };
    let odd = r#"{"properties": {"a": {"not": {}}}}"#;
    let place = "JSON schema: at #/properties/a the keyword `not`";
    check(
        vec![of(Some("tool `f`"), "{}"), of(Some("tool `g`"), odd)],
        &format!("tool `g`: {place}"),
    );
    check(vec![of(Some("tool `f`"), "{}"), of(None, odd)], place);
    check(vec![of(Some("tool `f`"), "{")], "tool `f`: JSON schema: it is no JSON");
    let long = format!("\"{}\"", "x".repeat(60_000));
    let many = (0..10).map(|_| of(Some("tool `f`"), &long)).collect();
    check(many, "grammar of the answer: it has 600020 bytes and 524288 are allowed");
}

#[test]
fn grammars_of_llama_cpp_read_their_language() {
    let vocabulary = bytes();
    let folder = cache().join("llama.cpp/grammars");
    let cases = [
        ("json.gbnf", r#"{"a": [1, -2.5e3, "x\né"], "b": {"c": null}}"#, r#"{"a": 1,}"#),
        ("json_arr.gbnf", "[\n{\"a\": true},\n1]", "[1"),
        ("arithmetic.gbnf", "1 +2 = 3\n", "1 + = 3\n"),
        ("list.gbnf", "- one\n- two\n", "one\n"),
        ("chess.gbnf", "1. e4 e5\n2. Nf3 Nc6\n", "1. e9 e5\n"),
        ("english.gbnf", "This is one.", "Das hier ist 1 übung"),
        ("japanese.gbnf", "これは", "this"),
    ];
    for (file, good, bad) in cases {
        let grammar = compile(&vocabulary, Kind::Gbnf, &read(&folder.join(file)));
        assert!(fits(&grammar, good.as_bytes()), "{file}: {good}");
        assert!(!fits(&grammar, bad.as_bytes()), "{file}: {bad}");
    }
}

/// What a lexer that takes as much as it can would get wrong.
#[test]
fn gbnf_is_of_characters() {
    let vocabulary = bytes();
    let cases: &[(&str, &[&str], &[&str])] = &[
        (
            "root ::= \"a\" root? \"b\" | \"ab\" \"c\"",
            &["ab", "abc", "aabb"],
            &["a", "aab", "aabc"],
        ),
        (
            "root ::= x \"k\" | y \"l\"\nx ::= [a-m]\ny ::= [k-z] | \"(\" y \")\"",
            &["kk", "kl", "(z)l"],
            &["zk"],
        ),
        (
            "root ::= [a-z]* \"end\" | \"(\" root \")\"",
            &["end", "bend", "(endend)"],
            &["en", "(end"],
        ),
        ("root ::= \"x\"{2,3} | \"[\" root \"]\"", &["xx", "[xxx]"], &["x", "xxxx"]),
        ("root ::= root \"a\" | \"a\"", &["a", "aaaa"], &[""]),
        ("root ::= [^\\x00-\\x7F] [\\u00e4\\U0001F600] | \".\" .", &["éä", "é😀", ".\n"], &["aä"]),
    ];
    for (source, good, bad) in cases {
        let grammar = compile(&vocabulary, Kind::Gbnf, source);
        for text in *good {
            assert!(fits(&grammar, text.as_bytes()), "{source}: {text}");
        }
        for text in *bad {
            assert!(!fits(&grammar, text.as_bytes()), "{source}: {text}");
        }
    }
}

#[test]
fn refusals_are_one_line_with_the_place() {
    let vocabulary = bytes();
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    let long = format!("\"{}\"", "x".repeat(70_000));
    let cases: &[(Kind, &str, &str)] = &[
        (Kind::JsonSchema, "{", "JSON schema: it is no JSON: EOF"),
        (Kind::JsonSchema, "7", "JSON schema: a schema is an object"),
        (Kind::JsonSchema, "false", "JSON schema: `false` allows no value"),
        (Kind::JsonSchema, &deep, "JSON schema: at byte 32 it nests deeper than 32 levels"),
        (Kind::JsonSchema, &long, "JSON schema: it has 70002 bytes and 65536 are allowed"),
        (
            Kind::JsonSchema,
            r#"{"properties": {"a": {"not": {}}}}"#,
            "JSON schema: at #/properties/a the keyword `not` is not supported",
        ),
        (Kind::JsonSchema, r#"{"x-guidance": {"lenient": true}}"#, "`x-guidance` is not supported"),
        (Kind::Gbnf, "root ::= \"a\"\nroot2 := 1", "line 2, column 8: `:` is expected"),
        (Kind::Gbnf, "root ::= a b", "line 1, column 10: the rule `a` is missing"),
        (Kind::Gbnf, "rot ::= \"a\"", "it has no rule `root`"),
        (Kind::Gbnf, "root ::= <think>", "line 1, column 10: `<think>` is no token"),
        (Kind::Gbnf, "root ::= [a-", "these characters have no closing bracket"),
        (Kind::Gbnf, "root ::= \"\\q\"", "`\\q` is no escape"),
        (Kind::Gbnf, "root ::= \"a\"{1,99999}", "99999 repetitions are too many"),
        (Kind::Regex, "(", "regular expression: "),
        (Kind::Lark, "start: /a/ what", "Lark grammar: "),
        (Kind::Choice, "[]", "choice: it has no texts"),
        (Kind::Choice, "[1]", "choice: it is no JSON array of texts"),
    ];
    for (kind, source, words) in cases {
        let error = Grammar::compile(&vocabulary, *kind, source).expect_err(source).to_string();
        assert!(error.contains(words), "{error}\nlacks {words}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

/// Sources that are made to cost much, and bytes that mean nothing.
#[test]
fn hostile_sources_are_refused_or_bounded() {
    let vocabulary = bytes();
    let nested =
        |open: &str, close: &str| format!("{}a{}", open.repeat(9_000), close.repeat(9_000));
    let doubled: String =
        (0..60).map(|at| format!("r{at} ::= r{} r{}\n", at + 1, at + 1)).collect();
    let sources = [
        (Kind::Lark, format!("start: \"\\\"\" {}", nested("(", ")"))),
        (Kind::Lark, format!("start: /\"/ {}", nested("(", ")"))),
        (Kind::Lark, format!("start: a // \"\n {}", nested("(", ")"))),
        (Kind::Regex, nested("(", ")")),
        (Kind::Regex, "((((a{1,99}){1,99}){1,99}){1,99}){1,99}".to_owned()),
        (Kind::Gbnf, nested("root ::= (", ")")),
        (Kind::Gbnf, format!("root ::= r0\n{doubled}r60 ::= \"a\"")),
        (Kind::Gbnf, "root ::= ((((\"a\"{9999}){9999}){9999}){9999}) root?".to_owned()),
        (Kind::JsonSchema, r##"{"$ref": "#"}"##.to_owned()),
        (
            Kind::JsonSchema,
            r#"{"type": "string", "pattern": "((a{1,999}){1,999}){1,999}"}"#.to_owned(),
        ),
        (Kind::JsonSchema, r#"{"minItems": 4000000000, "type": "array"}"#.to_owned()),
    ];
    for (kind, source) in sources {
        let shown: String = source.chars().take(60).collect();
        match Grammar::compile(&vocabulary, kind, &source) {
            Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
            Ok(grammar) => {
                // Whatever it means, masks end.
                let mut matcher = grammar.matcher(None);
                let first = matcher.mask().map(|mask| (0..256).find(|id| mask.allows(*id)));
                assert!(
                    first.is_err()
                        || first == Ok(None)
                        || matcher.accept(first.expect("seen").expect("seen")).is_ok(),
                    "{shown}"
                );
            }
        }
    }
}

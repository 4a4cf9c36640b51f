//! The header: pure, from bytes to a checked directory of tensors.

use std::collections::HashSet;

use quant::FormatId;

use crate::cursor::Cursor;
use crate::limits::{
    ALIGNMENT_MAX, ARRAY_LEN_MAX, DIMENSIONS_MAX, KEY_BYTES_MAX, KEYS_MAX, NAME_BYTES_MAX,
    STRING_BYTES_MAX, TENSORS_MAX,
};
use crate::{Array, Error, Metadata, Result, Strings, Value};

/// Alignment where the file does not say.
pub(crate) const ALIGNMENT_DEFAULT: u32 = 32;

/// Where a tensor is, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name.
    pub name: String,
    /// Dimensions, fastest first.
    pub shape: Vec<u64>,
    /// Block format.
    pub format: FormatId,
    /// Which file of a split model, from 0.
    pub shard: usize,
    /// Bytes from the start of that file.
    pub offset: u64,
    /// Bytes.
    pub size_bytes: u64,
}

impl TensorInfo {
    /// Rows: the product of all dimensions but the first.
    #[must_use]
    pub fn n(&self) -> usize {
        let rows: u64 = self.shape.iter().skip(1).product();
        usize::try_from(rows).expect("checked against the file's length when parsed")
    }

    /// Length of a row: the first dimension.
    #[must_use]
    pub fn k(&self) -> usize {
        let len = self.shape.first().copied().unwrap_or(1);
        usize::try_from(len).expect("checked against the file's length when parsed")
    }
}

/// Everything before the tensors' data.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// Key-value pairs.
    pub metadata: Metadata,
    /// Tensors in the order of the file.
    pub tensors: Vec<TensorInfo>,
    /// Where data begins, in bytes from the start.
    pub data_offset: u64,
    /// Tensors begin at multiples of this many bytes from there.
    pub alignment: u64,
}

/// Reads the header at the start of `head`, of a file of `file_len` bytes.
///
/// # Errors
/// [`Error::Truncated`] says how many bytes are needed at least, so that a caller that reads
/// piecewise can come back with more; everything else is the file's fault.
pub fn parse(head: &[u8], file_len: u64) -> Result<Header> {
    let mut cursor = Cursor::new(head);
    let version = version(&mut cursor)?;
    let n_tensors = cursor.count("tensors", TENSORS_MAX)?;
    let n_keys = cursor.count("metadata keys", KEYS_MAX)?;
    let metadata = metadata(&mut cursor, n_keys)?;
    let alignment = alignment(&cursor, &metadata)?;
    let mut tensors = Vec::new();
    let mut names = HashSet::new();
    for _ in 0..n_tensors {
        let tensor = tensor(&mut cursor)?;
        if !names.insert(tensor.name.clone()) {
            return Err(cursor.invalid(format!("two tensors named {}", tensor.name)));
        }
        tensors.push(tensor);
    }
    let data_offset = cursor.offset().next_multiple_of(alignment);
    place(&cursor, &mut tensors, (data_offset, alignment, file_len))?;
    Ok(Header { version, metadata, tensors, data_offset, alignment })
}

fn version(cursor: &mut Cursor<'_>) -> Result<u32> {
    let magic: [u8; 4] = cursor.array()?;
    if &magic != b"GGUF" {
        let found = String::from_utf8_lossy(&magic).into_owned();
        return Err(Error::Magic { found });
    }
    match cursor.u32()? {
        version @ (2 | 3) => Ok(version),
        version if version & 0xFFFF == 0 && version != 0 => Err(Error::BigEndian),
        version => Err(Error::Version(version)),
    }
}

fn metadata(cursor: &mut Cursor<'_>, n_keys: usize) -> Result<Metadata> {
    let mut metadata = Metadata::new();
    let mut seen = HashSet::new();
    for _ in 0..n_keys {
        let key = cursor.string("a metadata key", KEY_BYTES_MAX)?.to_owned();
        if key.is_empty() {
            return Err(cursor.invalid("a metadata key is empty".to_owned()));
        }
        if !seen.insert(key.clone()) {
            return Err(cursor.invalid(format!("two metadata keys named {key}")));
        }
        let kind = cursor.u32()?;
        let value = value(cursor, kind)?;
        metadata.push_new(key, value);
    }
    Ok(metadata)
}

fn value(cursor: &mut Cursor<'_>, kind: u32) -> Result<Value> {
    Ok(match kind {
        0 => Value::U8(cursor.array::<1>()?[0]),
        1 => Value::I8(i8::from_le_bytes(cursor.array()?)),
        2 => Value::U16(u16::from_le_bytes(cursor.array()?)),
        3 => Value::I16(i16::from_le_bytes(cursor.array()?)),
        4 => Value::U32(cursor.u32()?),
        5 => Value::I32(i32::from_le_bytes(cursor.array()?)),
        6 => Value::F32(f32::from_le_bytes(cursor.array()?)),
        7 => Value::Bool(cursor.bool()?),
        8 => Value::String(cursor.string("a string", STRING_BYTES_MAX)?.to_owned()),
        9 => {
            let kind = cursor.u32()?;
            Value::Array(array(cursor, kind)?)
        }
        10 => Value::U64(cursor.u64()?),
        11 => Value::I64(i64::from_le_bytes(cursor.array()?)),
        12 => Value::F64(f64::from_le_bytes(cursor.array()?)),
        other => return Err(cursor.invalid(format!("a metadata value of unknown type {other}"))),
    })
}

fn array(cursor: &mut Cursor<'_>, kind: u32) -> Result<Array> {
    let count = cursor.count("values in an array", ARRAY_LEN_MAX)?;
    Ok(match kind {
        0 => Array::U8(cursor.take(count as u64)?.to_vec()),
        1 => Array::I8(numbers(cursor, count, i8::from_le_bytes)?),
        2 => Array::U16(numbers(cursor, count, u16::from_le_bytes)?),
        3 => Array::I16(numbers(cursor, count, i16::from_le_bytes)?),
        4 => Array::U32(numbers(cursor, count, u32::from_le_bytes)?),
        5 => Array::I32(numbers(cursor, count, i32::from_le_bytes)?),
        6 => Array::F32(numbers(cursor, count, f32::from_le_bytes)?),
        7 => Array::Bool((0..count).map(|_| cursor.bool()).collect::<Result<_>>()?),
        8 => {
            // A forged count takes no more memory than the file has bytes: each text has a length.
            let mut texts = Strings::with_capacity(count.min(cursor.left() / size_of::<u64>()));
            for _ in 0..count {
                texts.push(cursor.string("a string", STRING_BYTES_MAX)?);
            }
            texts.shrink_to_fit();
            Array::String(texts)
        }
        10 => Array::U64(numbers(cursor, count, u64::from_le_bytes)?),
        11 => Array::I64(numbers(cursor, count, i64::from_le_bytes)?),
        12 => Array::F64(numbers(cursor, count, f64::from_le_bytes)?),
        9 => return Err(cursor.invalid("an array of arrays".to_owned())),
        other => return Err(cursor.invalid(format!("an array of unknown type {other}"))),
    })
}

/// Fixed-size values; their bytes are there before memory is taken for them.
fn numbers<T, const N: usize>(
    cursor: &mut Cursor<'_>,
    count: usize,
    read: fn([u8; N]) -> T,
) -> Result<Vec<T>> {
    let bytes = cursor.take(count as u64 * N as u64)?;
    let number = |chunk: &[u8]| read(chunk.try_into().expect("chunks of N bytes"));
    Ok(bytes.chunks_exact(N).map(number).collect())
}

fn alignment(cursor: &Cursor<'_>, metadata: &Metadata) -> Result<u64> {
    let alignment = metadata.u32("general.alignment")?.unwrap_or(ALIGNMENT_DEFAULT);
    let alignment = u64::from(alignment);
    if alignment.is_power_of_two() && alignment <= ALIGNMENT_MAX {
        return Ok(alignment);
    }
    Err(cursor.invalid(format!("an alignment of {alignment}: a power of two is wanted")))
}

fn tensor(cursor: &mut Cursor<'_>) -> Result<TensorInfo> {
    let name = cursor.string("a tensor's name", NAME_BYTES_MAX)?.to_owned();
    if name.is_empty() {
        return Err(cursor.invalid("a tensor without a name".to_owned()));
    }
    let n_dimensions = cursor.u32()?;
    if n_dimensions == 0 || n_dimensions > DIMENSIONS_MAX {
        let what = format!("tensor {name} has {n_dimensions} dimensions: 1 to {DIMENSIONS_MAX} go");
        return Err(cursor.invalid(what));
    }
    let mut shape = Vec::new();
    for _ in 0..n_dimensions {
        let dimension = cursor.u64()?;
        if dimension == 0 || dimension > i64::MAX.unsigned_abs() {
            return Err(cursor.invalid(format!("tensor {name} has a dimension of {dimension}")));
        }
        shape.push(dimension);
    }
    let kind = cursor.u32()?;
    let format = FormatId::from_ggml_id(kind).ok_or_else(|| Error::UnsupportedType {
        tensor: name.clone(),
        type_name: quant::ggml_type_name(kind).map_or_else(|| kind.to_string(), str::to_owned),
        nearest: quant::nearest_runnable(kind).map(FormatId::name),
    })?;
    let size_bytes = size_bytes(&shape, format).ok_or_else(|| {
        cursor.invalid(format!("tensor {name} of {shape:?} is not whole {} blocks", format.name()))
    })?;
    let offset = cursor.u64()?;
    Ok(TensorInfo { name, shape, format, shard: 0, offset, size_bytes })
}

fn size_bytes(shape: &[u64], format: FormatId) -> Option<u64> {
    let row = format.row_bytes(usize::try_from(*shape.first()?).ok()?)?;
    shape[1..].iter().try_fold(row as u64, |size, dimension| size.checked_mul(*dimension))
}

/// Turns offsets from the start of data into offsets from the start of the file, and makes sure
/// that tensors are aligned, apart, and inside.
fn place(
    cursor: &Cursor<'_>,
    tensors: &mut [TensorInfo],
    (data_offset, alignment, file_len): (u64, u64, u64),
) -> Result<()> {
    for tensor in tensors.iter_mut() {
        if !tensor.offset.is_multiple_of(alignment) {
            let what = format!(
                "tensor {} begins at {}, not a multiple of {alignment}",
                tensor.name, tensor.offset
            );
            return Err(cursor.invalid(what));
        }
        let start = data_offset.checked_add(tensor.offset);
        let end = start.and_then(|start| start.checked_add(tensor.size_bytes));
        let (Some(start), Some(end)) = (start, end) else {
            let what = format!("tensor {} lies beyond any file's end", tensor.name);
            return Err(cursor.invalid(what));
        };
        if end > file_len {
            return Err(Error::Truncated { needed: end, len: file_len });
        }
        tensor.offset = start;
    }
    let mut order: Vec<&TensorInfo> = tensors.iter().collect();
    order.sort_by_key(|tensor| tensor.offset);
    for pair in order.windows(2) {
        if pair[0].offset + pair[0].size_bytes > pair[1].offset {
            let what = format!("tensors {} and {} overlap", pair[0].name, pair[1].name);
            return Err(cursor.invalid(what));
        }
    }
    Ok(())
}

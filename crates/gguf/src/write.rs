//! Writes GGUF version 3: from memory, or with tensors that are made while they are written.

use std::io::{self, Read, Write};

use quant::FormatId;

use crate::parse::ALIGNMENT_DEFAULT;
use crate::{Array, Metadata, Value};

/// A file in the making: metadata and tensors, in the order they are given.
#[derive(Default)]
pub struct Writer {
    metadata: Metadata,
    tensors: Vec<Planned>,
}

/// A tensor of the file.
struct Planned {
    name: String,
    shape: Vec<u64>,
    format: FormatId,
    len: u64,
    /// None for one that is made while it is written.
    bytes: Option<Vec<u8>>,
}

impl Writer {
    /// An empty file.
    #[must_use]
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Adds or replaces a metadata entry.
    pub fn metadata(&mut self, key: &str, value: Value) -> &mut Writer {
        self.metadata.insert(key, value);
        self
    }

    /// Adds a tensor; `shape` is fastest first.
    ///
    /// # Panics
    /// When the bytes are not those of the shape.
    pub fn tensor(
        &mut self,
        name: &str,
        shape: &[u64],
        format: FormatId,
        bytes: Vec<u8>,
    ) -> &mut Writer {
        let len = self.announce(name, shape, format);
        assert_eq!(len, bytes.len() as u64, "{name} of {shape:?}");
        let added = self.tensors.last_mut().expect("it was announced in this call");
        added.bytes = Some(bytes);
        self
    }

    /// Adds a tensor whose bytes come when the file is written, see [`Writer::write_with`]: for
    /// models larger than memory. The count of its bytes.
    ///
    /// # Panics
    /// When a row is not whole blocks.
    pub fn announce(&mut self, name: &str, shape: &[u64], format: FormatId) -> u64 {
        let rows: u64 = shape[1..].iter().product();
        let row = usize::try_from(shape[0]).ok().and_then(|k| format.row_bytes(k));
        let len = row.and_then(|row| rows.checked_mul(row as u64));
        let len = len.unwrap_or_else(|| panic!("{name} of {shape:?} is no whole {format:?}"));
        let (name, shape) = (name.to_owned(), shape.to_vec());
        self.tensors.push(Planned { name, shape, format, len, bytes: None });
        len
    }

    /// Writes it all.
    ///
    /// # Errors
    /// The writer's; [`io::ErrorKind::InvalidInput`] when a tensor was only announced.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        self.write_with(out, |name, _, _| Err(io::Error::new(io::ErrorKind::InvalidInput, name)))
    }

    /// Writes it all; `make(name, format, out)` writes the bytes of each tensor that was announced.
    ///
    /// # Errors
    /// The writer's, and [`io::ErrorKind::InvalidData`] naming a tensor that was made too long or
    /// too short.
    pub fn write_with<W: Write>(
        &self,
        out: &mut W,
        mut make: impl FnMut(&str, FormatId, &mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let alignment = self.alignment();
        out.write_all(&self.head(alignment))?;
        for tensor in &self.tensors {
            match &tensor.bytes {
                Some(bytes) => out.write_all(bytes)?,
                None => {
                    let mut counted = Counted { out: &mut *out, len: 0 };
                    make(&tensor.name, tensor.format, &mut counted)?;
                    if counted.len != tensor.len {
                        let (name, made, wanted) = (&tensor.name, counted.len, tensor.len);
                        let told = format!("{name}: {made} bytes were made, not {wanted}");
                        return Err(io::Error::new(io::ErrorKind::InvalidData, told));
                    }
                }
            }
            let padding = tensor.len.next_multiple_of(alignment) - tensor.len;
            io::copy(&mut io::repeat(0).take(padding), out)?;
        }
        Ok(())
    }

    fn alignment(&self) -> u64 {
        match self.metadata.get("general.alignment") {
            Some(Value::U32(alignment)) => u64::from(*alignment),
            _ => u64::from(ALIGNMENT_DEFAULT),
        }
    }

    /// Everything before the tensors' data.
    fn head(&self, alignment: u64) -> Vec<u8> {
        let mut head = b"GGUF".to_vec();
        head.extend(3_u32.to_le_bytes());
        head.extend((self.tensors.len() as u64).to_le_bytes());
        head.extend((self.metadata.iter().count() as u64).to_le_bytes());
        for (key, value) in self.metadata.iter() {
            put_string(&mut head, key);
            put_value(&mut head, value);
        }
        let mut offset = 0_u64;
        for tensor in &self.tensors {
            put_string(&mut head, &tensor.name);
            let dimensions = u32::try_from(tensor.shape.len()).expect("few dimensions");
            head.extend(dimensions.to_le_bytes());
            tensor.shape.iter().for_each(|dimension| head.extend(dimension.to_le_bytes()));
            head.extend(tensor.format.ggml_id().to_le_bytes());
            head.extend(offset.to_le_bytes());
            offset += tensor.len.next_multiple_of(alignment);
        }
        let alignment = usize::try_from(alignment).expect("an alignment of 32 bits");
        head.resize(head.len().next_multiple_of(alignment), 0);
        head
    }
}

/// A writer that counts.
struct Counted<'a> {
    out: &'a mut dyn Write,
    len: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    macro_rules! number {
        ($kind:literal, $value:expr) => {{
            out.extend(u32::to_le_bytes($kind));
            out.extend($value.to_le_bytes());
        }};
    }
    match value {
        Value::U8(v) => number!(0, v),
        Value::I8(v) => number!(1, v),
        Value::U16(v) => number!(2, v),
        Value::I16(v) => number!(3, v),
        Value::U32(v) => number!(4, v),
        Value::I32(v) => number!(5, v),
        Value::F32(v) => number!(6, v),
        Value::Bool(v) => number!(7, u8::from(*v)),
        Value::String(v) => {
            out.extend(8_u32.to_le_bytes());
            put_string(out, v);
        }
        Value::Array(array) => put_array(out, array),
        Value::U64(v) => number!(10, v),
        Value::I64(v) => number!(11, v),
        Value::F64(v) => number!(12, v),
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    out.extend(9_u32.to_le_bytes());
    macro_rules! numbers {
        ($kind:literal, $values:expr) => {{
            out.extend(u32::to_le_bytes($kind));
            out.extend(($values.len() as u64).to_le_bytes());
            $values.iter().for_each(|value| out.extend(value.to_le_bytes()));
        }};
    }
    match array {
        Array::U8(v) => numbers!(0, v),
        Array::I8(v) => numbers!(1, v),
        Array::U16(v) => numbers!(2, v),
        Array::I16(v) => numbers!(3, v),
        Array::U32(v) => numbers!(4, v),
        Array::I32(v) => numbers!(5, v),
        Array::F32(v) => numbers!(6, v),
        Array::Bool(v) => {
            let bytes: Vec<u8> = v.iter().map(|value| u8::from(*value)).collect();
            numbers!(7, bytes);
        }
        Array::String(v) => {
            out.extend(8_u32.to_le_bytes());
            out.extend((v.len() as u64).to_le_bytes());
            v.iter().for_each(|text| put_string(out, text));
        }
        Array::U64(v) => numbers!(10, v),
        Array::I64(v) => numbers!(11, v),
        Array::F64(v) => numbers!(12, v),
    }
}

//! Writes GGUF version 3.

use std::io::{self, Write};

use quant::FormatId;

use crate::parse::ALIGNMENT_DEFAULT;
use crate::{Array, Metadata, Value};

/// A file in the making: metadata and tensors, in the order they are given.
#[derive(Default)]
pub struct Writer {
    metadata: Metadata,
    tensors: Vec<(String, Vec<u64>, FormatId, Vec<u8>)>,
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
        let rows: u64 = shape[1..].iter().product();
        let row = usize::try_from(shape[0]).ok().and_then(|k| format.row_bytes(k));
        let wanted = row.map(|row| row as u64 * rows);
        assert_eq!(wanted, Some(bytes.len() as u64), "{name} of {shape:?}");
        self.tensors.push((name.to_owned(), shape.to_vec(), format, bytes));
        self
    }

    /// Writes it all.
    ///
    /// # Errors
    /// The writer's.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let alignment = match self.metadata.get("general.alignment") {
            Some(Value::U32(alignment)) => *alignment,
            _ => ALIGNMENT_DEFAULT,
        };
        let aligned = |len: usize| len.next_multiple_of(alignment as usize);
        let mut head = b"GGUF".to_vec();
        head.extend(3_u32.to_le_bytes());
        head.extend((self.tensors.len() as u64).to_le_bytes());
        head.extend((self.metadata.iter().count() as u64).to_le_bytes());
        for (key, value) in self.metadata.iter() {
            put_string(&mut head, key);
            put_value(&mut head, value);
        }
        let mut offset = 0;
        for (name, shape, format, bytes) in &self.tensors {
            put_string(&mut head, name);
            head.extend(u32::try_from(shape.len()).expect("few dimensions").to_le_bytes());
            shape.iter().for_each(|dimension| head.extend(dimension.to_le_bytes()));
            head.extend(format.ggml_id().to_le_bytes());
            head.extend((offset as u64).to_le_bytes());
            offset += aligned(bytes.len());
        }
        head.resize(aligned(head.len()), 0);
        out.write_all(&head)?;
        for (.., bytes) in &self.tensors {
            out.write_all(bytes)?;
            out.write_all(&vec![0; aligned(bytes.len()) - bytes.len()])?;
        }
        Ok(())
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

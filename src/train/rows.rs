//! JSON that a person can read and compare by lines, without a line for every number.

use std::io::{self, Write};

use serde_json::ser::Formatter;

/// Writes a field of an object on a line of its own, a list of numbers or words on one line, and a list of lists or objects on a line
/// for each of them.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// How deep in objects that are outside of lists.
    objects: usize,
    /// How deep in lists.
    lists: usize,
    /// Whether an element of the outermost list begins here.
    begins: bool,
    /// Whether the outermost list has lines.
    has_lines: bool,
    /// Whether the object has fields.
    has_fields: bool,
}

impl Rows {
    /// A list or an object begins: where it is an element of the outermost list, on a line of its own.
    fn begin<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.lists == 1 && self.begins {
            self.has_lines = true;
            line(writer, self.objects + 1)?;
        }
        self.begins = false;
        Ok(())
    }
}

/// Begins a line.
fn line<W: ?Sized + Write>(writer: &mut W, depth: usize) -> io::Result<()> {
    writer.write_all(b"\n")?;
    (0..depth).try_for_each(|_| writer.write_all(b"  "))
}

impl Formatter for Rows {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer)?;
        self.lists += 1;
        writer.write_all(b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.lists -= 1;
        if self.lists == 0 && std::mem::take(&mut self.has_lines) {
            line(writer, self.objects)?;
        }
        writer.write_all(b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.begins = self.lists == 1;
        if first { Ok(()) } else { writer.write_all(b",") }
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer)?;
        if self.lists == 0 {
            self.objects += 1;
            self.has_fields = false;
        }
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.lists == 0 {
            self.objects -= 1;
            if self.has_fields {
                line(writer, self.objects)?;
            }
            // The object around this one has this one.
            self.has_fields = true;
        }
        writer.write_all(b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        if self.lists == 0 { line(writer, self.objects) } else { Ok(()) }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(if self.lists == 0 { b": " } else { b":" })
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.has_fields = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};
    use serde::Serialize;
    use serde_json::{Value, json};

    use super::*;

    fn written<T: Serialize>(value: &T) -> String {
        let mut bytes = Vec::new();
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Rows::default())).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_table_takes_a_line_a_row_and_numbers_stay_together() {
        let value = json!({
            "a": 1,
            "maps": [{ "x": [0, 1], "y": {} }, { "x": [], "y": null }],
            "none": [],
            "numbers": [1, 2.5, 3],
            "rows": [[0.1, 0.2], [0.3]],
            "set": { "empty": {}, "words": ["b", "c"] },
        });

        let expected = concat!(
            "{\n  \"a\": 1,\n  \"maps\": [\n    {\"x\":[0,1],\"y\":{}},\n    {\"x\":[],\"y\":null}\n  ],\n  \"none\": [],\n",
            "  \"numbers\": [1,2.5,3],\n  \"rows\": [\n    [0.1,0.2],\n    [0.3]\n  ],\n",
            "  \"set\": {\n    \"empty\": {},\n    \"words\": [\"b\",\"c\"]\n  }\n}"
        );
        assert_eq!(written(&value), expected);
    }

    #[test]
    fn short_numbers_stay_short() {
        assert_eq!(written(&vec![vec![0.123_f32]]), "[\n  [0.123]\n]");
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), any::<i32>().prop_map(Value::from)];
        leaf.prop_recursive(4, 40, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c]{1,2}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in values()) {
            prop_assert_eq!(serde_json::from_str::<Value>(&written(&value)).unwrap(), value);
        }
    }
}

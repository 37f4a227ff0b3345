//! Text in quotes as Go writes it (`%q`), which is how a kubelet shows labels and annotations.

/// Source: `strconv.Quote`.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\0'..' ' | '\u{7f}' => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            _ if is_printable(c) => quoted.push(c),
            '\u{10000}'.. => quoted.push_str(&format!("\\U{:08x}", u32::from(c))),
            _ => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

fn is_printable(c: char) -> bool {
    // (A mark that combines with what stands before it is printable there.)
    c == '\'' || format!("a{c}").escape_debug().count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_as_go_does() {
        for (text, expected) in [
            ("", r#""""#),
            ("it's \"so\" \\", r#""it's \"so\" \\""#),
            ("a\tb\nc\rd", r#""a\tb\nc\rd""#),
            (
                "\0\u{1}\u{7}\u{8}\u{b}\u{c}\u{1b}\u{7f}",
                r#""\x00\x01\a\b\v\f\x1b\x7f""#,
            ),
            ("Größe 日本 🙂 e\u{301}", "\"Größe 日本 🙂 e\u{301}\""),
            (
                "\u{a0}\u{200b}\u{feff}\u{85}\u{e0001}",
                r#""\u00a0\u200b\ufeff\u0085\U000e0001""#,
            ),
        ] {
            assert_eq!(quoted(text), expected, "{text:?}");
        }
    }
}

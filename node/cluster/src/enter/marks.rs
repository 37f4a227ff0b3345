//! A session's output between the marks that `pod/session` writes around it.
//!
//! Before the first mark and behind the last one speak the batch system and the site; between them, a mark of the kind `n`
//! is an attempt to find out whether we are still there.

/// The longest line of a mark.
const LINE: usize = 64;

/// How much of what stands outside is kept, in bytes.
const KEPT: usize = 4000;

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Before,
    Body,
    After,
}

/// One output, as it arrives.
#[derive(Debug)]
pub(super) struct Marks {
    token: Vec<u8>,
    phase: Phase,
    held: Vec<u8>,
    outside: Vec<u8>,
    code: Option<u32>,
}

impl Marks {
    pub(super) fn new(token: &str) -> Self {
        Self {
            token: format!("{token}:").into_bytes(),
            phase: Phase::Before,
            held: Vec::new(),
            outside: Vec::new(),
            code: None,
        }
    }

    /// Takes what has arrived and gives what of it is the command's. Only what may be the beginning of a mark is held back.
    pub(super) fn push(&mut self, data: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(data);
        let mut body = Vec::new();
        while let Some(at) = memchr::memmem::find(&self.held, &self.token) {
            let mark = &self.held[at + self.token.len()..];
            let Some(length) = mark.iter().take(LINE).position(|byte| *byte == b'\n') else {
                if mark.len() < LINE {
                    self.give(at, &mut body);
                    return body;
                }
                // What begins like a mark and is none.
                self.give(at + self.token.len(), &mut body);
                continue;
            };
            let line = String::from_utf8_lossy(&mark[..length]).trim_end().to_owned();
            self.give(at, &mut body);
            self.held.drain(..self.token.len() + length + 1);
            match (line.split_once(' '), &self.phase) {
                (Some(("b", _)), Phase::Before) => self.phase = Phase::Body,
                (Some(("e", code)), Phase::Body) => {
                    self.phase = Phase::After;
                    self.code = code.parse().ok();
                }
                _ => {}
            }
        }
        let keep = (1..self.token.len().min(self.held.len() + 1))
            .rev()
            .find(|length| self.held.ends_with(&self.token[..*length]))
            .unwrap_or(0);
        self.give(self.held.len() - keep, &mut body);
        body
    }

    /// The output has ended: what was held back was no mark.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        self.give(self.held.len(), &mut body);
        body
    }

    fn give(&mut self, size: usize, body: &mut Vec<u8>) {
        if self.phase == Phase::Body {
            if size == self.held.len() && body.is_empty() {
                *body = std::mem::take(&mut self.held);
            } else {
                body.extend(self.held.drain(..size));
            }
        } else {
            self.outside.extend(self.held.drain(..size));
            let over = self.outside.len().saturating_sub(KEPT);
            self.outside.drain(..over);
        }
    }

    /// The first mark has come.
    pub(super) fn begun(&self) -> bool {
        self.phase != Phase::Before
    }

    /// The last mark has come.
    pub(super) fn ended(&self) -> bool {
        self.phase == Phase::After
    }

    /// The command's exit code, from the last mark.
    pub(super) fn code(&self) -> Option<u32> {
        self.code
    }

    /// The end of what stood outside.
    pub(super) fn outside(&self) -> &[u8] {
        &self.outside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &[u8] = b"greetings\ntok:b 0\r\none tok two\ntok:n 0\nto:three to\ntok:e 7\r\nsrun: error\n";

    #[test]
    fn the_command_s_own_output_comes_out_however_it_is_cut() {
        for size in 1..OUTPUT.len() {
            let mut marks = Marks::new("tok");
            let mut body = Vec::new();
            for part in OUTPUT.chunks(size) {
                body.extend(marks.push(part));
            }
            body.extend(marks.finish());
            assert_eq!(String::from_utf8_lossy(&body), "one tok two\nto:three to\n", "{size}");
            assert_eq!(marks.code(), Some(7));
            assert_eq!(marks.outside(), b"greetings\nsrun: error\n");
        }
    }

    #[test]
    fn nothing_is_held_back_but_what_may_be_a_mark() {
        let mut marks = Marks::new("tok");
        assert!(marks.push(b"tok:b 0\n").is_empty());
        assert_eq!(marks.push(b"$ "), b"$ ");
        assert_eq!(marks.push(b"a to"), b"a ");
        assert_eq!(marks.push(b"p"), b"top");
        assert_eq!(marks.push(b"tok:"), b"");
        assert_eq!(marks.push(&[b'x'; 100]).len(), 104, "a mark is short");
        assert!(!marks.ended());
        assert_eq!(marks.push(b"t"), b"");
        assert_eq!(marks.finish(), b"t");
    }

    #[test]
    fn a_cut_output_has_no_code_and_endless_noise_takes_no_memory() {
        let mut marks = Marks::new("tok");
        for _ in 0..1000 {
            assert!(marks.push(&[b'x'; 1000]).is_empty());
        }
        assert!(marks.outside().len() <= KEPT && marks.held.len() < 10);
        marks.push(b"tok:b 0\nbody tok:e ");
        assert!(marks.begun() && marks.code().is_none());
    }
}

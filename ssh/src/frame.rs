//! Finding a command's output between what login shells, banners and old background processes write around it.
//!
//! A command's output stands between two marks that hold a random number. Everything before the first mark is noise and
//! is thrown away; nothing is trusted to be complete before the last one.

use memchr::memmem;

/// How much noise is kept to be shown in an error.
const SAMPLE: usize = 2048;

/// A mark's value is never longer than this.
const MAX_VALUE: usize = 64;

/// A random number that the far side puts before and after a command's output.
#[derive(Clone, Debug)]
pub struct Token {
    left: String,
    right: String,
}

impl Token {
    /// A new one.
    pub fn random() -> Self {
        Self {
            left: format!("towline{:016x}", rand::random::<u64>()),
            right: format!("{:016x}", rand::random::<u64>()),
        }
    }

    fn mark(&self, kind: char) -> Vec<u8> {
        format!("{}-{}:{kind} ", self.left, self.right).into_bytes()
    }

    /// Shell text that writes a mark with a value. It does not contain the mark, so that a shell that repeats what it
    /// reads (`set -v`) is not taken for one that runs it.
    fn print(&self, kind: char, value: &str, redirect: &str) -> String {
        format!(
            "printf '%s-%s:{kind} %s\\n' {} {} {value}{redirect}",
            self.left, self.right
        )
    }

    /// Shell text that marks the beginning of both outputs; the value on the first is the shell's process id.
    pub fn print_begin(&self) -> String {
        format!("{}; {}", self.print('b', "$$", ""), self.print('b', "0", " >&2"))
    }

    /// Shell text that marks the beginning of a terminal's output, where both are one.
    pub fn print_begin_of_one(&self) -> String {
        self.print('b', "$$", "")
    }

    /// Shell text that marks the end of both outputs; the value on the first is the last exit code.
    pub fn print_end(&self) -> String {
        format!("{}; {}", self.print('e', "$?", ""), self.print('e', "0", " >&2"))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Before,
    Body,
    Done,
}

/// One output of a command, as it arrives.
#[derive(Debug)]
pub struct Frame {
    begin: Vec<u8>,
    /// `None`: the output ends with its stream.
    end: Option<Vec<u8>>,
    limit: usize,
    phase: Phase,
    held: Vec<u8>,
    /// Up to here there is no mark.
    searched: usize,
    noise: Vec<u8>,
    begin_value: Option<String>,
    end_value: Option<String>,
    over: bool,
}

impl Frame {
    /// An output that ends with its stream.
    pub fn to_the_end(token: &Token, limit: usize) -> Self {
        Self {
            begin: token.mark('b'),
            end: None,
            limit,
            phase: Phase::Before,
            held: Vec::new(),
            searched: 0,
            noise: Vec::new(),
            begin_value: None,
            end_value: None,
            over: false,
        }
    }

    /// An output that ends with a mark.
    pub fn to_the_mark(token: &Token, limit: usize) -> Self {
        Self {
            end: Some(token.mark('e')),
            ..Self::to_the_end(token, limit)
        }
    }

    /// Takes what has arrived.
    pub fn push(&mut self, data: &[u8]) {
        match self.phase {
            Phase::Before => self.look_for_begin(data),
            Phase::Body => self.look_for_end(data),
            Phase::Done => {}
        }
    }

    fn look_for_begin(&mut self, data: &[u8]) {
        let room = SAMPLE.saturating_sub(self.noise.len());
        self.noise.extend_from_slice(&data[..data.len().min(room)]);
        self.held.extend_from_slice(data);
        match find(&self.held, &self.begin, self.searched) {
            Mark::At { value, after, .. } => {
                self.begin_value = Some(value);
                self.phase = Phase::Body;
                let rest = self.held.split_off(after);
                self.held.clear();
                self.searched = 0;
                self.look_for_end(&rest);
            }
            Mark::NotBefore(at) => {
                // Noise may be endless: only what can be the beginning of a mark is kept.
                self.held.drain(..at);
                self.searched = 0;
            }
        }
    }

    fn look_for_end(&mut self, data: &[u8]) {
        self.held.extend_from_slice(data);
        let mut size = self.held.len();
        if let Some(end) = &self.end {
            match find(&self.held, end, self.searched) {
                Mark::At { value, from, .. } => {
                    self.end_value = Some(value);
                    self.held.truncate(from);
                    self.phase = Phase::Done;
                    size = from;
                }
                Mark::NotBefore(at) => {
                    self.searched = at;
                    size = at;
                }
            }
        }
        if size > self.limit {
            self.over = true;
            self.held.clear();
            self.phase = Phase::Done;
        }
    }

    /// The value of the first mark, once it has come.
    pub fn begun(&self) -> Option<&str> {
        self.begin_value.as_deref()
    }

    /// The value of the last mark, once it has come.
    pub fn ended(&self) -> Option<&str> {
        self.end_value.as_deref()
    }

    /// There was more than the limit; the rest was thrown away.
    pub fn over(&self) -> bool {
        self.over
    }

    /// Whatever comes from now on is output as it is, with nothing in front of it: it need not be pushed.
    pub fn passes(&self) -> bool {
        self.phase == Phase::Body && self.end.is_none() && self.limit == usize::MAX && self.held.is_empty()
    }

    /// The output so far, which is handed out once.
    pub fn take(&mut self) -> Vec<u8> {
        match self.phase {
            Phase::Before => Vec::new(),
            Phase::Body | Phase::Done => std::mem::take(&mut self.held),
        }
    }

    /// What stood before the first mark, shortened, on one line.
    pub fn noise(&self) -> String {
        let text = String::from_utf8_lossy(&self.noise);
        let text: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(300)
            .collect();
        text.trim().to_owned()
    }
}

enum Mark {
    At {
        from: usize,
        value: String,
        after: usize,
    },
    /// There is none that begins before this place.
    NotBefore(usize),
}

/// Looks for a mark and the line end after its value.
fn find(data: &[u8], mark: &[u8], from: usize) -> Mark {
    let mut from = from;
    while let Some(at) = memmem::find(&data[from..], mark) {
        let start = from + at;
        let value = &data[start + mark.len()..];
        match value.iter().take(MAX_VALUE).position(|byte| *byte == b'\n') {
            Some(length) => {
                return Mark::At {
                    from: start,
                    value: String::from_utf8_lossy(&value[..length]).into_owned(),
                    after: start + mark.len() + length + 1,
                };
            }
            None if value.len() < MAX_VALUE => return Mark::NotBefore(start),
            None => from = start + 1,
        }
    }
    Mark::NotBefore(data.len().saturating_sub(mark.len() - 1).max(from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn marked(token: &Token, noise: &[u8], body: &[u8], code: u32) -> Vec<u8> {
        let mut out = noise.to_vec();
        out.extend(token.mark('b'));
        out.extend(b"123\n");
        out.extend(body);
        out.extend(token.mark('e'));
        out.extend(format!("{code}\n").bytes());
        out
    }

    fn feed(frame: &mut Frame, data: &[u8], sizes: &[usize]) {
        let (mut rest, mut sizes) = (data, sizes.iter().cycle());
        while !rest.is_empty() {
            let size = (*sizes.next().unwrap_or(&1)).clamp(1, rest.len());
            frame.push(&rest[..size]);
            rest = &rest[size..];
        }
    }

    #[test]
    fn output_passes_from_its_beginning_on_if_it_ends_with_its_stream() {
        let token = Token::random();
        let begun = marked(&token, b"noise", b"body", 0);
        let mut frame = Frame::to_the_end(&token, usize::MAX);
        assert!(!frame.passes());
        frame.push(&begun);
        assert!(!frame.passes(), "what is held has to go first");
        assert!(frame.take().starts_with(b"body"));
        assert!(frame.passes());
        for (mut bounded, why) in [
            (Frame::to_the_end(&token, 1000), "it has a limit"),
            (Frame::to_the_mark(&token, usize::MAX), "its end has to be found"),
        ] {
            bounded.push(&token.mark('b'));
            bounded.push(b"123\n");
            assert!(bounded.begun().is_some() && bounded.take().is_empty());
            assert!(!bounded.passes(), "{why}");
        }
    }

    proptest! {
        #[test]
        fn the_body_comes_out_whole_however_it_is_cut_and_whatever_is_around_it(
            noise in proptest::collection::vec(any::<u8>(), 0..300),
            body in proptest::collection::vec(any::<u8>(), 0..300),
            after in proptest::collection::vec(any::<u8>(), 0..50),
            code in 0u32..256,
            sizes in proptest::collection::vec(1usize..60, 1..8),
        ) {
            let token = Token::random();
            // A mark that was cut off, and one of another command, are noise as well.
            let mut before = noise;
            before.extend(&token.mark('b')[..20]);
            before.extend(Token::random().mark('b'));
            let mut data = marked(&token, &before, &body, code);
            data.extend(after);
            let mut frame = Frame::to_the_mark(&token, 1000);
            feed(&mut frame, &data, &sizes);
            prop_assert_eq!(frame.begun(), Some("123"));
            let code = code.to_string();
            prop_assert_eq!(frame.ended(), Some(code.as_str()));
            prop_assert_eq!(frame.take(), body);
            prop_assert!(!frame.over());
        }

        #[test]
        fn a_cut_answer_is_no_answer(body in proptest::collection::vec(any::<u8>(), 0..100), cut in 0usize..200) {
            let token = Token::random();
            let data = marked(&token, b"motd\n", &body, 0);
            let mut frame = Frame::to_the_mark(&token, 1000);
            let cut = cut.min(data.len() - 1);
            frame.push(&data[..cut]);
            prop_assert_eq!(frame.ended(), None);
        }
    }

    #[test]
    fn endless_noise_takes_no_memory() {
        let mut frame = Frame::to_the_end(&Token::random(), 10);
        for _ in 0..1000 {
            frame.push(&[b'x'; 1000]);
        }
        assert!(frame.held.len() < 100 && frame.noise.len() <= SAMPLE);
        assert_eq!(frame.begun(), None);
    }

    #[test]
    fn the_limit_is_exact_and_says_so() {
        let token = Token::random();
        for (size, over) in [(10, false), (11, true)] {
            let mut frame = Frame::to_the_mark(&token, 10);
            frame.push(&marked(&token, b"", &vec![b'x'; size], 0));
            assert_eq!(frame.over(), over, "{size}");
            let mut frame = Frame::to_the_end(&token, 10);
            frame.push(&token.mark('b'));
            frame.push(b"1\n");
            frame.push(&vec![b'x'; size]);
            assert_eq!(frame.over(), over, "{size}");
        }
    }

    #[test]
    fn the_text_that_prints_a_mark_does_not_hold_it() {
        let token = Token::random();
        let text = token.print_begin();
        assert!(memmem::find(text.as_bytes(), &token.mark('b')).is_none());
        let output = std::process::Command::new("sh").args(["-c", &text]).output().unwrap();
        let mut frame = Frame::to_the_end(&token, 10);
        frame.push(&output.stdout);
        assert!(frame.begun().unwrap().parse::<u32>().is_ok());
        let mut frame = Frame::to_the_end(&token, 10);
        frame.push(&output.stderr);
        assert_eq!(frame.begun(), Some("0"));
    }
}

//! Headers of streams: name-value blocks, compressed as one stream per direction.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::dictionary::DICTIONARY;
use crate::streaming::Fault;

/// Bytes of a block at most, unpacked.
const LARGEST: usize = 32 << 10;
/// Headers of a stream at most.
const MOST: usize = 64;
/// Bytes unpacked at once.
const PIECE: usize = 4 << 10;

/// The headers of a stream; names are in lower case.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The first value of a header, empty if there is none.
    pub fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(found, _)| found == name);
        found.map_or("", |(_, values)| values.split('\0').next().unwrap_or_default())
    }

    fn parse(block: &[u8]) -> Result<Self, Fault> {
        let mut rest = block;
        let count = length(&mut rest)?;
        if count > MOST {
            return Err(Fault::new(format!(
                "a stream with {count} headers; {MOST} are the most"
            )));
        }
        let mut all: Vec<(String, String)> = Vec::with_capacity(count);
        for _ in 0..count {
            let name = text(&mut rest)?;
            let value = text(&mut rest)?;
            if name.is_empty() || name.chars().any(char::is_uppercase) || all.iter().any(|(known, _)| *known == name) {
                return Err(Fault::new(format!(
                    "a header with the name {name:?}, which is not allowed there"
                )));
            }
            all.push((name, value));
        }
        if !rest.is_empty() {
            return Err(Fault::new(format!("{} bytes behind a stream's headers", rest.len())));
        }
        Ok(Self(all))
    }
}

fn length(rest: &mut &[u8]) -> Result<usize, Fault> {
    let (length, behind) = rest
        .split_first_chunk::<4>()
        .ok_or_else(|| Fault::new("headers that end too early"))?;
    *rest = behind;
    Ok(u32::from_be_bytes(*length) as usize)
}

fn text(rest: &mut &[u8]) -> Result<String, Fault> {
    let length = length(rest)?;
    let (text, behind) = rest
        .split_at_checked(length)
        .ok_or_else(|| Fault::new("headers that end too early"))?;
    *rest = behind;
    String::from_utf8(text.to_vec()).map_err(|_| Fault::new("a header that is not UTF-8"))
}

/// Unpacks what the client sends, block by block.
pub struct Unpacking(Decompress);

impl Unpacking {
    /// At the beginning of a connection.
    pub fn new() -> Self {
        Self(Decompress::new(true))
    }

    /// The next block. Each has to pass here, also one whose headers nobody needs.
    ///
    /// # Errors
    /// It cannot be unpacked, or is too large; no further block can be unpacked then.
    pub fn headers(&mut self, mut packed: &[u8]) -> Result<Headers, Fault> {
        let broken = |why: &dyn std::fmt::Display| Fault::new(format!("headers that cannot be unpacked: {why}"));
        let mut block = Vec::new();
        loop {
            let (read, written) = (self.0.total_in(), self.0.total_out());
            let mut piece = [0; PIECE];
            let result = self.0.decompress(packed, &mut piece, FlushDecompress::Sync);
            packed = &packed[(self.0.total_in() - read) as usize..];
            let written = (self.0.total_out() - written) as usize;
            block.extend_from_slice(&piece[..written]);
            if block.len() > LARGEST {
                return Err(Fault::new(format!("headers of more than {LARGEST} bytes")));
            }
            match result {
                Ok(Status::StreamEnd) => return Err(broken(&"the end of all headers")),
                Ok(_) if packed.is_empty() && written < PIECE => return Headers::parse(&block),
                Ok(Status::BufError) if written == 0 => return Err(broken(&"they stop in the middle")),
                Ok(_) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    let set = self.0.set_dictionary(&DICTIONARY);
                    set.map_err(|error| broken(&error))?;
                }
                Err(error) => return Err(broken(&error)),
            }
        }
    }
}

/// Packs what is sent to the client.
pub struct Packing(Compress);

impl Packing {
    /// At the beginning of a connection.
    ///
    /// # Errors
    /// The library refuses the dictionary.
    pub fn new() -> std::io::Result<Self> {
        let mut packing = Compress::new(Compression::fast(), true);
        packing.set_dictionary(&DICTIONARY).map_err(std::io::Error::other)?;
        Ok(Self(packing))
    }

    /// The next block: no headers at all, which is what a server has to say.
    ///
    /// # Errors
    /// The library fails.
    pub fn none(&mut self) -> std::io::Result<Vec<u8>> {
        self.block(&0_u32.to_be_bytes())
    }

    fn block(&mut self, block: &[u8]) -> std::io::Result<Vec<u8>> {
        // More than a flush and a stored block need.
        let mut packed = Vec::with_capacity(block.len() + 64);
        let before = self.0.total_in();
        self.0
            .compress_vec(block, &mut packed, FlushCompress::Sync)
            .map_err(std::io::Error::other)?;
        if self.0.total_in() - before != block.len() as u64 || packed.len() == packed.capacity() {
            return Err(std::io::Error::other("headers do not fit where they should"));
        }
        Ok(packed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(headers: &[(&str, &str)]) -> Vec<u8> {
        let mut all = (headers.len() as u32).to_be_bytes().to_vec();
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            all.extend_from_slice(&(text.len() as u32).to_be_bytes());
            all.extend_from_slice(text.as_bytes());
        }
        all
    }

    #[test]
    fn one_block_after_the_other_is_packed_and_unpacked() {
        let (mut packing, mut unpacking) = (Packing::new().unwrap(), Unpacking::new());
        for number in 0..50 {
            let port = number.to_string();
            let headers = [("streamtype", "data"), ("port", &port), ("many", "a\0b"), ("empty", "")];
            let found = unpacking.headers(&packing.block(&block(&headers)).unwrap()).unwrap();
            assert_eq!((found.get("streamtype"), found.get("port")), ("data", port.as_str()));
            assert_eq!(
                (found.get("many"), found.get("empty"), found.get("none")),
                ("a", "", "")
            );
            assert_eq!(unpacking.headers(&packing.none().unwrap()).unwrap(), Headers::default());
        }
    }

    #[test]
    fn headers_that_unpack_to_much_more_are_a_fault() {
        let bomb = vec![0; 100 << 20];
        let mut packed = Vec::with_capacity(1 << 20);
        let mut packing = Packing::new().unwrap();
        packing.0.compress_vec(&bomb, &mut packed, FlushCompress::Sync).unwrap();
        assert!(packed.len() < 1 << 20);
        let fault = Unpacking::new().headers(&packed).unwrap_err();
        assert!(fault.to_string().contains("more than 32768 bytes"), "{fault}");
    }

    #[test]
    fn headers_that_say_too_much_of_themselves_are_a_fault() {
        let one = |name: &str| block(&[(name, "x")]);
        let many: Vec<_> = (0..65).map(|number| (format!("h{number}"), "")).collect();
        let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        for block in [
            vec![],
            vec![0; 3],
            u32::MAX.to_be_bytes().to_vec(),
            [&1_u32.to_be_bytes()[..], &u32::MAX.to_be_bytes(), b"name"].concat(),
            one(""),
            one("Port"),
            block(&[("a", "1"), ("a", "2")]),
            [one("a"), vec![0]].concat(),
            one("a")[..9].to_vec(),
            block(&many),
        ] {
            assert!(Headers::parse(&block).is_err(), "{block:?}");
            let packed = Packing::new().unwrap().block(&block).unwrap();
            assert!(Unpacking::new().headers(&packed).is_err(), "{block:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_unpacked_is_headers_or_a_fault(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..4)) {
            let mut unpacking = Unpacking::new();
            for block in &blocks {
                let _ = unpacking.headers(block);
            }
        }

        #[test]
        fn a_block_that_is_damaged_is_headers_or_a_fault(at in 0_usize..60, bit in 0_u8..8) {
            let mut packed = Packing::new().unwrap().block(&block(&[("streamtype", "error"), ("port", "80")])).unwrap();
            let at = at % packed.len();
            packed[at] ^= 1 << bit;
            let _ = Unpacking::new().headers(&packed);
        }
    }
}

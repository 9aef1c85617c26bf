//! Compressed request bodies: decoded while they come in, so that they can be read like any other.
//!
//! Stage 6 of the walk. Pure. Promises: any way of cutting a body gives the same bytes; a small
//! piece is made at a time, whatever the input; a body that grows beyond the bound or out of all
//! proportion is refused, and so is one that is cut short, damaged, or followed by something else.
//! Does not: choose what may be compressed, or compress again.
//!
//! # Source
//! RFC 9110, section 8.4 (codings; `deflate` is the zlib format, and some send it bare); RFC 1952
//! (gzip, members may follow each other); RFC 8878 (zstd, frames too).

use std::io::Write as _;

use bytes::{Buf as _, Bytes};
use flate2::{Decompress, FlushDecompress, Status, write::MultiGzDecoder};
use zstd::stream::raw::{DParameter, Decoder as Zstd, InBuffer, Operation as _, OutBuffer};

use crate::bounds::{
    DECODED_FREE_BYTES, DECODED_PIECE_BYTES, DECODED_RATIO_MAX, INFLATE_STATE_BYTES,
    ZSTD_STATE_BYTES, ZSTD_WINDOW_LOG_MAX,
};

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Deflate,
    Zstd,
}

impl Coding {
    /// The coding that a `content-encoding` names, if it is one that is read; `identity` is none.
    ///
    /// # Errors
    /// It is another one, or more than one.
    pub fn of(value: &[u8]) -> Result<Option<Coding>, Unknown> {
        match value.trim_ascii().to_ascii_lowercase().as_slice() {
            b"identity" => Ok(None),
            b"gzip" | b"x-gzip" => Ok(Some(Coding::Gzip)),
            b"deflate" => Ok(Some(Coding::Deflate)),
            b"zstd" => Ok(Some(Coding::Zstd)),
            _ => Err(Unknown),
        }
    }
}

/// A coding that is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown;

/// Why a body cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is damaged, cut short, or followed by something else.
    Broken,
    /// It grows beyond the bound.
    TooLarge,
    /// It grows out of all proportion, or asks for more memory than anybody needs.
    Bomb,
}

/// Decodes one body.
pub struct Decoder {
    engine: Engine,
    input: Bytes,
    taken: u64,
    made: u64,
    made_max: u64,
    /// Bytes that the decoder takes at once, and bytes that it may fill.
    state: usize,
    window: u64,
}

enum Engine {
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    /// Nothing has come yet, so it is not known in which of its two forms.
    Deflate(Option<Decompress>, Over),
    /// Too little has come to know how much memory the rest takes.
    ZstdHead(Vec<u8>),
    Zstd(Zstd<'static>, Over),
}

/// Whether the input may end here.
type Over = bool;

impl Decoder {
    /// A decoder for a body of at most `made_max` bytes.
    pub fn new(coding: Coding, made_max: u64) -> Decoder {
        let engine = match coding {
            Coding::Gzip => Engine::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Coding::Deflate => Engine::Deflate(None, false),
            Coding::Zstd => Engine::ZstdHead(Vec::new()),
        };
        let state = if coding == Coding::Zstd { ZSTD_STATE_BYTES } else { INFLATE_STATE_BYTES };
        Decoder { engine, input: Bytes::new(), taken: 0, made: 0, made_max, state, window: 0 }
    }

    /// Takes the next bytes. All that came before has been decoded: [`Decoder::next`] gave nothing
    /// more.
    pub fn push(&mut self, chunk: Bytes) {
        self.taken += chunk.len() as u64;
        self.input = chunk;
    }

    /// The next piece of the body; nothing where more input is needed.
    ///
    /// # Errors
    /// See [`Fault`]. After an error nothing more is asked.
    pub fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let piece = match &mut self.engine {
            Engine::Gzip(gzip) => gunzip(gzip, &mut self.input)?,
            Engine::Deflate(inflate, over) => deflate(inflate, over, &mut self.input)?,
            Engine::ZstdHead(head) => {
                let room = ZSTD_HEAD_BYTES - head.len();
                head.extend_from_slice(&self.input.split_to(room.min(self.input.len())));
                if head.len() < ZSTD_HEAD_BYTES {
                    return Ok(None);
                }
                self.begin_zstd()?;
                return self.next();
            }
            Engine::Zstd(zstd, over) => unzstd(zstd, over, &mut self.input)?,
        };
        self.made += piece.len() as u64;
        if self.made > self.made_max {
            return Err(Fault::TooLarge);
        }
        if self.made > DECODED_FREE_BYTES && self.made / DECODED_RATIO_MAX > self.taken {
            return Err(Fault::Bomb);
        }
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }

    /// Memory of the decoder besides the pieces, in bytes. A window that a body asks for takes
    /// memory only as it is filled.
    pub fn memory(&self) -> usize {
        let filled = self.made.saturating_add(DECODED_PIECE_BYTES as u64).min(self.window);
        self.state.saturating_add(usize::try_from(filled).unwrap_or(usize::MAX))
    }

    /// Ends the input. The rest of the body comes from [`Decoder::next`], and
    /// then this is asked again.
    ///
    /// # Errors
    /// The input may not end here.
    pub fn finish(&mut self) -> Result<Option<Bytes>, Fault> {
        match &mut self.engine {
            Engine::ZstdHead(_) => {
                self.begin_zstd()?;
                let piece = self.next()?;
                if piece.is_some() { Ok(piece) } else { self.finish() }
            }
            Engine::Gzip(gzip) => {
                let whole = gzip.try_finish().map_err(|_| Fault::Broken);
                let rest = std::mem::take(gzip.get_mut());
                self.made += rest.len() as u64;
                whole.map(|()| Some(Bytes::from(rest)).filter(|rest| !rest.is_empty()))
            }
            Engine::Deflate(_, over) | Engine::Zstd(_, over) => {
                if *over {
                    Ok(None)
                } else {
                    Err(Fault::Broken)
                }
            }
        }
    }

    /// The beginning is here, or all of a short body.
    fn begin_zstd(&mut self) -> Result<(), Fault> {
        let Engine::ZstdHead(head) = &mut self.engine else { return Ok(()) };
        let log = window_log(head).unwrap_or(ZSTD_WINDOW_LOG_MAX);
        if log > ZSTD_WINDOW_LOG_MAX {
            return Err(Fault::Bomb);
        }
        self.window = 1 << log;
        let mut zstd = Zstd::new().map_err(|_| Fault::Broken)?;
        zstd.set_parameter(DParameter::WindowLogMax(log)).map_err(|_| Fault::Broken)?;
        let mut input = std::mem::take(head);
        input.extend_from_slice(&self.input);
        self.input = Bytes::from(input);
        self.engine = Engine::Zstd(zstd, false);
        Ok(())
    }
}

/// Bytes that are fed at once: at most a thousand times as much comes out of them.
const GZIP_STEP_BYTES: usize = 128;

fn gunzip(gzip: &mut MultiGzDecoder<Vec<u8>>, input: &mut Bytes) -> Result<Bytes, Fault> {
    while !input.is_empty() && gzip.get_ref().len() < DECODED_PIECE_BYTES {
        let step = &input[..GZIP_STEP_BYTES.min(input.len())];
        match gzip.write(step) {
            Ok(0) | Err(_) => return Err(Fault::Broken),
            Ok(taken) => input.advance(taken),
        }
    }
    Ok(Bytes::from(std::mem::take(gzip.get_mut())))
}

fn deflate(
    inflate: &mut Option<Decompress>,
    over: &mut Over,
    input: &mut Bytes,
) -> Result<Bytes, Fault> {
    let inflate = match (inflate, input.first()) {
        (Some(inflate), _) => inflate,
        (None, None) => return Ok(Bytes::new()),
        // Eight in the low half is the method of zlib; a bare stream that begins so would begin
        // with a stored block.
        (none, Some(first)) => none.insert(Decompress::new(first & 0x0f == 8 && first >> 4 <= 7)),
    };
    let mut piece = Vec::with_capacity(DECODED_PIECE_BYTES);
    while piece.is_empty() && !*over {
        let before = inflate.total_in();
        let status = inflate
            .decompress_vec(input, &mut piece, FlushDecompress::None)
            .map_err(|_| Fault::Broken)?;
        let taken = usize::try_from(inflate.total_in() - before).map_err(|_| Fault::Broken)?;
        input.advance(taken);
        *over = status == Status::StreamEnd;
        if taken == 0 && piece.is_empty() {
            break;
        }
    }
    if piece.is_empty() && !input.is_empty() {
        // No progress with input and room, or something behind the end.
        return Err(Fault::Broken);
    }
    Ok(Bytes::from(piece))
}

fn unzstd(zstd: &mut Zstd<'static>, over: &mut Over, input: &mut Bytes) -> Result<Bytes, Fault> {
    let mut piece = vec![0; DECODED_PIECE_BYTES];
    let mut made = 0;
    while made == 0 && !(input.is_empty() && *over) {
        let mut from = InBuffer::around(input);
        let mut to = OutBuffer::around(&mut piece[..]);
        let left = zstd.run(&mut from, &mut to).map_err(|_| Fault::Broken)?;
        made = to.pos();
        let taken = from.pos();
        input.advance(taken);
        *over = left == 0;
        if made == 0 && taken == 0 {
            break;
        }
    }
    if made == 0 && !input.is_empty() {
        return Err(Fault::Broken);
    }
    piece.truncate(made);
    Ok(Bytes::from(piece))
}

/// The longest header of a zstd frame.
const ZSTD_HEAD_BYTES: usize = 18;

/// How much memory a zstd frame asks for, as a power of two; nothing where `head` does not begin
/// with the header of one.
fn window_log(head: &[u8]) -> Option<u32> {
    let rest = head.strip_prefix(&[0x28, 0xb5, 0x2f, 0xfd])?;
    let (descriptor, rest) = rest.split_first()?;
    let window = if descriptor & 0x20 == 0 {
        let (exponent, eighths) = (u32::from(rest.first()? >> 3), u64::from(rest.first()? & 7));
        let base = 1_u64 << (10 + exponent);
        base + base / 8 * eighths
    } else {
        // One segment: the window is the content, whose size stands behind the number of a
        // dictionary.
        let at = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let length = [1, 2, 4, 8][usize::from(descriptor >> 6)];
        let size = rest
            .get(at..at + length)?
            .iter()
            .rev()
            .fold(0, |size, byte| size << 8 | u64::from(*byte));
        if length == 2 { size + 256 } else { size }
    };
    Some(window.max(1 << 10).next_power_of_two().ilog2())
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory")
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory")
    }

    fn bare(text: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory")
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        zstd::encode_all(text, 3).expect("memory")
    }

    type Encode = fn(&[u8]) -> Vec<u8>;
    const ALL: [(Coding, Encode); 4] = [
        (Coding::Gzip, gzip),
        (Coding::Deflate, zlib),
        (Coding::Deflate, bare),
        (Coding::Zstd, zstd),
    ];

    /// Decodes pieces of `size`, and checks that no step makes much.
    fn decoded(coding: Coding, encoded: &[u8], size: usize, max: u64) -> Result<Vec<u8>, Fault> {
        let mut decoder = Decoder::new(coding, max);
        let mut text = Vec::new();
        let mut take = |piece: Bytes| {
            assert!(
                !piece.is_empty() && piece.len() <= 10 * DECODED_PIECE_BYTES,
                "{} at once",
                piece.len()
            );
            text.extend_from_slice(&piece);
        };
        for chunk in encoded.chunks(size) {
            decoder.push(Bytes::copy_from_slice(chunk));
            while let Some(piece) = decoder.next()? {
                take(piece);
            }
        }
        while let Some(piece) = decoder.finish()? {
            take(piece);
            while let Some(piece) = decoder.next()? {
                take(piece);
            }
        }
        Ok(text)
    }

    #[test]
    fn what_was_compressed_comes_out_however_it_is_cut() {
        let mixed = |n: u32| n.wrapping_mul(2_654_435_761) % 100_003;
        let text: Vec<u8> =
            (0..60_000).flat_map(|n| format!("w{} ", mixed(n)).into_bytes()).collect();
        for (coding, encode) in ALL {
            for text in [&b""[..], b"{}", &text] {
                let encoded = encode(text);
                for size in [1, 2, 7, 17, 18, 19, 1000, 8192, 16_384, 65_535, usize::MAX] {
                    let text_again = decoded(coding, &encoded, size, 1 << 30);
                    assert!(
                        text_again.as_deref() == Ok(text),
                        "{coding:?} {size}: {:?}",
                        text_again.map(|t| t.len())
                    );
                }
            }
        }
        // Members and frames that follow each other are one body.
        let (a, b) = (b"{\"a\":".as_slice(), b"1}".as_slice());
        for (coding, encode) in [ALL[0], ALL[3]] {
            let encoded: Vec<u8> =
                (0..1000).flat_map(|n| encode(if n == 0 { a } else { b })).collect();
            let expected: Vec<u8> = a.iter().copied().chain(b.repeat(999)).collect();
            assert_eq!(decoded(coding, &encoded, 100, 1 << 30), Ok(expected), "{coding:?}");
        }
    }

    #[test]
    fn what_is_damaged_or_cut_short_is_refused() {
        let text = b"{\"messages\":[{\"content\":\"hello hello hello\"}]}".repeat(50);
        for (coding, encode) in ALL {
            let encoded = encode(&text);
            for cut in 0..encoded.len() {
                let result = decoded(coding, &encoded[..cut], 10, 1 << 30);
                assert_eq!(result, Err(Fault::Broken), "{coding:?} cut at {cut}");
            }
            let followed = [encoded.as_slice(), b"GET / HTTP/1.1"].concat();
            assert_eq!(
                decoded(coding, &followed, 10, 1 << 30),
                Err(Fault::Broken),
                "{coding:?} with more behind it"
            );
            assert_eq!(
                decoded(coding, &text, 10, 1 << 30),
                Err(Fault::Broken),
                "{coding:?} that is none"
            );
        }
        // Checksums are checked.
        let mut damaged = gzip(&text);
        let at = damaged.len() - 6;
        damaged[at] ^= 1;
        assert_eq!(decoded(Coding::Gzip, &damaged, 10, 1 << 30), Err(Fault::Broken));
    }

    #[test]
    fn what_grows_too_much_is_refused() {
        for (coding, encode) in ALL {
            let encoded = encode(&vec![b' '; 100_000]);
            assert_eq!(decoded(coding, &encoded, 64, 99_999), Err(Fault::TooLarge), "{coding:?}");
            assert_eq!(
                decoded(coding, &encoded, 64, 100_000).map(|t| t.len()),
                Ok(100_000),
                "{coding:?}"
            );
            let bomb = encode(&vec![b' '; 30 << 20]);
            assert_eq!(
                decoded(coding, &bomb, 64, 1 << 40),
                Err(Fault::Bomb),
                "{coding:?}, {} bytes",
                bomb.len()
            );
        }
        // A frame that asks for 128 MiB of window.
        let greedy = [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3][..], &[0; 30]].concat();
        assert_eq!(decoded(Coding::Zstd, &greedy, 5, 1 << 30), Err(Fault::Bomb));
    }

    #[test]
    fn the_header_of_a_frame_says_what_memory_it_takes() {
        let magic = [0x28, 0xb5, 0x2f, 0xfd];
        let log = |rest: &[u8]| window_log(&[&magic, rest].concat());
        assert_eq!(log(&[0x00, 0x00]), Some(10));
        assert_eq!(log(&[0x00, 11 << 3]), Some(21));
        assert_eq!(log(&[0x00, 11 << 3 | 1]), Some(22));
        assert_eq!(log(&[0x20, 200]), Some(10));
        assert_eq!(log(&[0x60, 0x00, 0xff]), Some(16));
        assert_eq!(log(&[0xa1, 9, 0x00, 0x00, 0x40, 0x00]), Some(22));
        assert_eq!(
            (log(&[0x60, 0x00]), window_log(b"no frame"), window_log(b"")),
            (None, None, None)
        );
        for size in [10, 100_000, 9_000_000] {
            let head = zstd(&vec![7; size]);
            assert!(window_log(&head).is_some_and(|log| log <= 21), "{size}");
        }
    }

    #[test]
    fn names_of_codings() {
        for (name, expected) in [
            ("gzip", Ok(Some(Coding::Gzip))),
            (" X-GZip ", Ok(Some(Coding::Gzip))),
            ("deflate", Ok(Some(Coding::Deflate))),
            ("zstd", Ok(Some(Coding::Zstd))),
            ("identity", Ok(None)),
            ("br", Err(Unknown)),
            ("gzip, gzip", Err(Unknown)),
            ("", Err(Unknown)),
        ] {
            assert_eq!(Coding::of(name.as_bytes()), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused_however_they_are_cut(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            size in 1_usize..50,
        ) {
            for (coding, _) in ALL {
                let cut = decoded(coding, &bytes, size, 1 << 20);
                let whole = decoded(coding, &bytes, bytes.len().max(1), 1 << 20);
                prop_assert_eq!(cut.ok(), whole.ok());
            }
        }

        #[test]
        fn any_text_comes_back(text in proptest::collection::vec(any::<u8>(), 0..4000), size in 1_usize..500) {
            for (coding, encode) in ALL {
                let encoded = encode(&text);
                prop_assert_eq!(decoded(coding, &encoded, size, 1 << 30), Ok(text.clone()));
            }
        }
    }
}

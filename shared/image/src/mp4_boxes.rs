//! Which boxes of an index are read. All others are left out before it is decoded: the decoder follows boxes into boxes as deep
//! as they lie in one another, which in a small file can be deeper than its stack is, and keeps what nobody asks for.

/// What a box holds.
#[derive(Clone, Copy)]
enum Holds {
    /// No boxes.
    Data,
    /// Behind so many bytes boxes, of which these are read.
    Boxes(usize, Known),
    /// How samples are coded, each in a box, behind their number.
    Codecs,
}

type Known = &'static [([u8; 4], Holds)];

use Holds::{Boxes, Codecs, Data};

const MOOV: Known =
    &[(*b"mvhd", Data), (*b"mvex", Boxes(0, MVEX)), (*b"trak", Boxes(0, TRAK)), (*b"udta", Boxes(0, UDTA))];
const MVEX: Known = &[(*b"mehd", Data), (*b"trex", Data)];
const UDTA: Known = &[(*b"meta", Boxes(4, META))];
const META: Known = &[(*b"hdlr", Data), (*b"ilst", Boxes(0, &[(*b"desc", Data)]))];
const TRAK: Known = &[(*b"tkhd", Data), (*b"edts", Boxes(0, &[(*b"elst", Data)])), (*b"mdia", Boxes(0, MDIA))];
const MDIA: Known = &[(*b"mdhd", Data), (*b"hdlr", Data), (*b"minf", Boxes(0, MINF))];
const MINF: Known = &[
    (*b"vmhd", Data),
    (*b"smhd", Data),
    (*b"nmhd", Data),
    (*b"sthd", Data),
    (*b"hmhd", Data),
    (*b"dinf", Boxes(0, &[(*b"dref", Data)])),
    (*b"stbl", Boxes(0, STBL)),
];
const STBL: Known = &[
    (*b"stsd", Codecs),
    (*b"stts", Data),
    (*b"ctts", Data),
    (*b"stss", Data),
    (*b"stsc", Data),
    (*b"stsz", Data),
    (*b"stco", Data),
    (*b"co64", Data),
];
/// Those of pictures, whose boxes come behind 78 bytes.
const PICTURES: Known = &[
    (*b"avc1", Boxes(78, AVC)),
    (*b"avc3", Boxes(78, AVC)),
    (*b"hev1", Boxes(78, &[(*b"hvcC", Data)])),
    (*b"hvc1", Boxes(78, &[(*b"hvcC", Data)])),
    (*b"vp08", Boxes(78, &[(*b"vpcC", Data)])),
    (*b"vp09", Boxes(78, &[(*b"vpcC", Data)])),
    (*b"av01", Boxes(78, &[(*b"av1C", Data)])),
    (*b"jpeg", Boxes(78, &[])),
];
const AVC: Known =
    &[(*b"avcC", Data), (*b"btrt", Data), (*b"colr", Data), (*b"pasp", Data), (*b"taic", Data), (*b"fiel", Data)];
/// Those of sounds, texts and measurements that the decoder knows. Of what it does not know the name is kept, to be told.
const OTHERS: [[u8; 4]; 27] = [
    *b"mp4a", *b".mp3", *b"Opus", *b"fLaC", *b"ac-3", *b"ec-3", *b"ipcm", *b"fpcm", *b"sowt", *b"twos", *b"lpcm",
    *b"in24", *b"in32", *b"fl32", *b"fl64", *b"s16l", *b"samr", *b"tx3g", *b"wvtt", *b"mett", *b"metx", *b"urim",
    *b"camm", *b"evte", *b"mebx", *b"uncv", *b"cams",
];

/// The body of an index with those boxes alone that are read.
///
/// # Errors
/// A box is longer than what it lies in.
pub(crate) fn read(moov: &[u8]) -> Result<Vec<u8>, String> {
    let mut kept = Vec::new();
    keep(moov, MOOV, &mut kept)?;
    Ok(kept)
}

fn keep(mut from: &[u8], known: Known, to: &mut Vec<u8>) -> Result<(), String> {
    while let Some((kind, body)) = next(&mut from)? {
        if let Some((_, holds)) = known.iter().find(|(known, _)| *known == kind) {
            put(kind, to, |to| held(body, *holds, to))?;
        }
    }
    Ok(())
}

fn held(body: &[u8], holds: Holds, to: &mut Vec<u8>) -> Result<(), String> {
    match holds {
        Data => to.extend(body),
        Boxes(head, known) => {
            let (head, boxes) = body.split_at_checked(head).ok_or_else(damaged)?;
            to.extend(head);
            keep(boxes, known, to)?;
        }
        Codecs => {
            let (head, mut boxes) = body.split_at_checked(8).ok_or_else(damaged)?;
            let (at, mut count) = (to.len() + 4, 0u32);
            to.extend(head);
            while let Some((kind, body)) = next(&mut boxes)? {
                match PICTURES.iter().find(|(known, _)| *known == kind) {
                    Some((_, holds)) => put(kind, to, |to| held(body, *holds, to))?,
                    None if OTHERS.contains(&kind) => continue,
                    None => put(kind, to, |_| Ok(()))?,
                }
                count += 1;
            }
            to[at..at + 4].copy_from_slice(&count.to_be_bytes());
        }
    }
    Ok(())
}

/// Writes a box, its length when that is known.
fn put(kind: [u8; 4], to: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>) -> Result<(), String>) -> Result<(), String> {
    let start = to.len();
    to.extend([0; 4]);
    to.extend(kind);
    body(to)?;
    // An index is not that long.
    let length = u32::try_from(to.len() - start).map_err(|_| damaged())?;
    to[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// A box by its kind, with what is in it.
type Part<'b> = ([u8; 4], &'b [u8]);

/// Kind and body of the next box. What is left behind the last one is no box.
fn next<'b>(from: &mut &'b [u8]) -> Result<Option<Part<'b>>, String> {
    let Some((&[a, b, c, d, kind @ ..], rest)) = from.split_first_chunk::<8>() else { return Ok(None) };
    let (body, length) = match (u32::from_be_bytes([a, b, c, d]), rest.split_first_chunk::<8>()) {
        (0, _) => (rest, rest.len()),
        (1, Some((long, body))) => (
            body,
            usize::try_from(u64::from_be_bytes(*long).checked_sub(16).ok_or_else(damaged)?).unwrap_or(usize::MAX),
        ),
        (short, _) => (rest, (short as usize).checked_sub(8).ok_or_else(damaged)?),
    };
    let (body, rest) = body.split_at_checked(length).ok_or_else(damaged)?;
    *from = rest;
    Ok(Some((kind, body)))
}

fn damaged() -> String {
    "its index is damaged: a box in it is longer than what it lies in".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes(), &kind[..], body].concat()
    }

    #[test]
    fn boxes_that_lie_in_one_another_without_end_are_left_out() {
        for kind in [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"udta", b"ipco", b"avc1", b"dinf"] {
            let deep = (0..30_000).fold(of(b"free", b""), |inner, _| of(kind, &inner));
            for deep in [deep.clone(), of(b"trak", &of(b"mdia", &of(b"minf", &of(b"stbl", &deep))))] {
                let kept = read(&deep).unwrap();
                assert!(kept.len() <= 64, "{} bytes of {kind:?}", kept.len());
                let mut file = std::io::Cursor::new([of(b"ftyp", b"isom"), of(b"moov", &deep)].concat());
                let why = crate::Mp4Track::read(&mut file).unwrap_err();
                assert!(why.contains("damaged"), "{why}");
            }
        }
    }

    #[test]
    fn what_is_read_stays_as_it_is_and_codecs_are_counted_anew() {
        let sound = of(b"mp4a", &of(b"esds", &[3; 100]));
        let film = of(b"avc1", &[&[7; 78][..], &of(b"avcC", b"abc"), &of(b"uuid", b"else")].concat());
        let other = of(b"ap4h", &[9; 200]);
        let samples = of(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 3][..], &sound, &film, &other].concat());
        let within = |stbl: &[u8]| of(b"trak", &of(b"mdia", &of(b"minf", &of(b"stbl", stbl))));
        let kept = read(&[of(b"mvhd", b"1"), of(b"iods", b"2"), within(&samples)].concat()).unwrap();
        let film = of(b"avc1", &[&[7; 78][..], &of(b"avcC", b"abc")].concat());
        let samples = of(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 2][..], &film, &of(b"ap4h", b"")].concat());
        assert_eq!(kept, [of(b"mvhd", b"1"), within(&samples)].concat());
    }

    #[test]
    fn lengths_of_every_form_are_read_and_none_is_believed() {
        let long = [&1u32.to_be_bytes(), &b"mvhd"[..], &20u64.to_be_bytes(), b"1234"].concat();
        let last = [&0u32.to_be_bytes(), &b"mvhd"[..], b"56"].concat();
        assert_eq!(read(&[long, last, vec![]].concat()).unwrap(), [of(b"mvhd", b"1234"), of(b"mvhd", b"56")].concat());
        // Zeros behind the last box, as QuickTime has them.
        assert_eq!(read(&[of(b"mvhd", b"1"), vec![0; 4]].concat()).unwrap(), of(b"mvhd", b"1"));
        for (length, rest) in [(7u32, &b""[..]), (9, b""), (u32::MAX, b"1"), (1, &[255; 8]), (1, &[0; 8]), (1, b"")] {
            let why = read(&[&length.to_be_bytes(), &b"mvhd"[..], rest].concat()).unwrap_err();
            assert!(why.contains("longer than what it lies in"), "{why}");
        }
    }
}

//! BDAT.
pub fn write_header(_octets: u64, _last: bool, _out: &mut Vec<u8>) {}

#![allow(missing_docs)]
use super::reactor::Reactor;
use crate::modem::{Circuit, ModemPort};
use crate::stream::{ByteStream, StreamError};
#[derive(Debug)]
pub struct Phone;
impl Phone {
    pub fn open(_r: &Reactor, _a: &str) -> Result<Self, String> {
        Err("not here yet".into())
    }
}
impl ByteStream for Phone {
    fn read(&mut self, _: &mut [u8]) -> Result<usize, StreamError> {
        Err(StreamError::Closed)
    }
    fn write(&mut self, _: &[u8]) -> Result<usize, StreamError> {
        Err(StreamError::Closed)
    }
}
impl ModemPort for Phone {
    fn set_dtr(&mut self, _: bool) -> Result<(), StreamError> {
        Ok(())
    }
    fn dcd(&mut self) -> Circuit {
        Circuit::Unknown
    }
    fn discard_output(&mut self) {}
    fn reopen(&mut self) -> Result<(), StreamError> {
        Err(StreamError::Closed)
    }
}

//! IMAP at the LAN's side, as far as a reader who changes nothing speaks it (RFC 3501, RFC 9051).
//!
//! ```text
//! Link -> response: fragments (a line, perhaps with a literal behind it)
//!      -> fetch: the attributes of one mail, over any number of fragments
//!      -> client: the engine: requests out, events in
//! ```
//!
//! There is no `SELECT`, no `STORE`, no `EXPUNGE`, no `APPEND` here, and a body is asked for by
//! `BODY.PEEK` alone: what this client can say cannot change a mailbox.

pub mod client;
mod fetch;
mod response;

//! The network, on a board that makes its own.

use hal::Board;
use hal::board::{Network as Wish, Radio as RadioWish};

use heapless::String;

use crate::config::{Network, Radio};

use super::{Moment, Office};

/// What was last asked of the machine.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attachment {
    network: Network,
    /// The radio network, and the country, which is of no interest without one.
    radio: Option<(Radio, String<2>)>,
}

impl Attachment {
    pub(super) fn new() -> Self {
        Self {
            network: Network::Machine,
            radio: None,
        }
    }
}

impl<B: Board> Office<'_, B> {
    /// Tells the machine what the configuration says of the network, if that is new.
    pub(super) fn apply_network(&mut self, board: &mut B, moment: Moment) {
        let wanted = Attachment {
            network: self.config.network.clone(),
            radio: match &self.config.radio {
                Some(radio) => Some((radio.clone(), self.config.country.clone())),
                None => None,
            },
        };
        if self.attachment == wanted {
            return;
        }
        self.attachment = wanted;
        let network = match &self.attachment.network {
            Network::Machine => Wish::Machine,
            Network::Dhcp => Wish::Dhcp,
            Network::Static {
                address,
                gateway,
                dns,
            } => Wish::Static {
                address,
                gateway,
                dns,
            },
        };
        let radio = self.attachment.radio.as_ref();
        let radio = radio.map(|(radio, country)| RadioWish {
            ssid: &radio.ssid,
            password: radio.password.reveal(),
            country,
        });
        match board.set_network(network, radio) {
            Ok(()) if radio.is_some() && network == Wish::Machine => {
                let text = format_args!(
                    "wifi: joined without an address: expected net dhcp, or net static"
                );
                self.notes.warn(moment, text);
            }
            Ok(()) => {}
            Err(error) => self.notes.error(moment, format_args!("{error}")),
        }
    }

    /// Notes what has become of it. Returns whether anything has.
    pub(super) fn turn_network(&mut self, board: &mut B, moment: Moment) -> bool {
        let news = board.network_news();
        if let Some(news) = &news {
            self.notes.info(moment, format_args!("{news}"));
        }
        news.is_some()
    }
}

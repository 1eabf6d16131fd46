//! The table itself, in the order in which `help` shows it.

use super::{Place, Row};

macro_rules! grammar {
    ($($place:ident { $($phrase:ident $pattern:literal $help:literal)* })*) => {
        /// Which command a row is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Phrase {
            $($(#[doc = concat!("`", $pattern, "`")] $phrase,)*)*
        }

        /// Every command.
        pub static TABLE: &[Row] = &[
            $($(Row {
                phrase: Phrase::$phrase,
                place: Place::$place,
                pattern: $pattern,
                help: $help,
            },)*)*
        ];
    };
}

grammar! {
    Console {
        ShowStatus "show status" "all of it on one page"
        ShowLines "show lines" "the modem lines"
        ShowCalls "show calls" "the latest calls"
        ShowUsers "show users" "the users and their mail"
        ShowUser "show user USER" "one user, mail by mail"
        ShowStore "show store" "the ring and its medium"
        ShowConfig "show config" "the commands that recreate all this, secrets masked"
        ShowSecrets "show config secrets" "the same with secrets shown"
        ShowLog "show log" "the latest log lines"
        Poll "poll USER" "visit the LAN server now"
        HangUp "hangup LINE" "end the call on a line"
        Answer "answer LINE" "answer without waiting for a ring"
        Again "again USER [call N]" "offer once more what a call took (the last one)"
        Skip "skip USER before DATE" "count older mail as taken"
        ClockSet "clock set DATE TIME" "set the clock"
        Save "save" "keep the configuration over a restart"
        Revert "revert" "go back to the saved configuration"
        Setup "setup" "five questions, from a new user to a test call"
        Help "help [WORD]" "list the commands, or those that begin with a word"
        Reboot "reboot" "start the machine anew"
        Exit "exit" "leave the console"
    }
    Configuration {
        Hostname "hostname NAME" "name in greetings (the machine's)"
        Store "store PATH size SIZE" "the ring, a file or block device (state directory, 256M)"
        LineDevice "line LINE device PATH [speed BPS]" "a modem line at a serial device (115200)"
        LinePhone "line LINE phone ADDR:PORT" "a built-in virtual modem"
        LineDelete "line delete LINE" "take a line away"
        LineRings "line LINE rings N" "answer after so many rings (1)"
        LineCarrier "line LINE carrier auto|dcd|text|none" "how loss of carrier is seen (auto)"
        LineModem "line LINE modem auto|wifi|gsm|direct" "what kind of modem, or a bare cable (auto)"
        LineAnswer "line LINE answer always|never|HH:MM-HH:MM" "when calls are answered (always)"
        LineDistinctiveAny "line LINE distinctive any" "however it rings (default)"
        LineDistinctive "line LINE distinctive STYLE" "answer only calls that ring so"
        LineInit "line LINE init COMMANDS" "extra initialisation (\"\")"
        LineAllowAny "line LINE allow any" "whoever calls is answered (default)"
        LineAllow "line LINE allow NUMBER..." "only these numbers are answered"
        LineDenyNone "line LINE deny none" "no number is refused (default)"
        LineDeny "line LINE deny NUMBER..." "calls from these numbers are refused"
        UserAdd "user add NAME password SECRET" "who may dial in"
        UserDelete "user delete USER" "take a user away"
        UserPassword "user USER password SECRET" "a new password for the line"
        UserSourceNone "user USER source none" "no LAN account (default)"
        UserSource "user USER source URL login LOGIN password SECRET" "the LAN account"
        UserMaildir "user USER source MAILDIR" "a Maildir on this machine"
        UserTls "user USER tls starttls|off|required" "TLS where it is offered, never, or always (starttls)"
        UserPinNone "user USER pin none" "no certificate is pinned (default)"
        UserPin "user USER pin HASH" "trust the mail server with this certificate alone"
        UserCaSystem "user USER ca system" "trust whom this machine trusts (default)"
        UserCa "user USER ca FILE" "trust the authorities in this file alone"
        UserPollEvery "user USER poll every DURATION" "visit the LAN server at an interval (15m)"
        UserPollAt "user USER poll at HH:MM[,HH:MM...]" "and at times of day (none)"
        UserPollAtLogin "user USER poll at-login DURATION|off" "and when the caller logs in, for so long (10s)"
        UserPollOff "user USER poll off" "never visit the LAN server"
        UserDeskDrop "user USER read-at-desk drop" "what was read at the desk is not offered (default)"
        UserDeskNotice "user USER read-at-desk notice" "a short notice in its place, the mail as NAME+full"
        UserDeskMark "user USER read-at-desk mark header|subject|body" "offer it, marked there"
        UserTakenBy "user USER taken-by dele|retr" "what removes a mail from the gateway (dele)"
        UserCommit "user USER commit quit|dele" "when (quit)"
        UserSeen "user USER seen read|ignore" "whether \\Seen at an IMAP server counts as read (read)"
        UserStart "user USER start all|new|DAYSd" "what the first visit copies (all)"
        UserConsumes "user USER consumes leave|copy" "from a server that drops what is fetched (leave)"
        UserLarge "user USER large leave|stream" "send by POP3 what the ring has no room for (leave)"
        UserOrder "user USER order arrival|newest|size" "order in the maildrop (arrival)"
        UserShare "user USER share PERCENT|fair" "largest part of the ring (fair)"
        Timezone "timezone ZONE" "the clock on the wall (the machine's)"
        NtpOff "ntp off" "the machine keeps the clock (default)"
        Ntp "ntp HOST" "set the clock from the network"
        NetOff "net off" "the machine has its own network (default)"
        NetDhcp "net dhcp" "take an address from the network"
        NetStatic "net static ADDR/BITS gateway ADDR dns ADDR" "a fixed address"
        WifiOff "wifi off" "no radio network (default)"
        WifiCountryAny "wifi country any" "channels that every country allows (default)"
        WifiCountry "wifi country CC" "the channels of this country"
        Wifi "wifi SSID password SECRET" "join a radio network"
        LimitLoginFailures "limit login-failures N" "per call (3)"
        LimitIdle "limit idle DURATION" "hang up on a silent caller (10m)"
        LimitCall "limit call DURATION" "longest call (2h)"
        ConsoleOpen "console open" "no password at the console (default)"
        ConsolePassword "console password SECRET" "asked for at the console"
    }
}

/// What an argument stands for: its name in patterns, and what the owner is told to type.
pub(super) static ARGUMENTS: &[(&str, &str)] = &[
    (
        "NAME",
        "a name of at most 32 letters, digits, '.', '-' or '_'",
    ),
    (USER, "a user's name"),
    (LINE, "a line's name"),
    (SECRET, "a password, in quotes if it has blanks"),
    ("MAILDIR", "a Maildir such as maildir:/home/anna/Maildir"),
    ("PATH", "a path of at most 255 octets"),
    ("FILE", "a file such as /etc/ringmail/ca.pem"),
    ("SIZE", "a size such as 64M or 1G"),
    ("BPS", "a speed in bit/s such as 115200"),
    ("ADDR:PORT", "an address and port such as 127.0.0.1:5300"),
    ("N", "a number"),
    (
        "COMMANDS",
        "modem commands such as \"ATM0\", at most 80 octets",
    ),
    ("NUMBER", "a telephone number such as +493012345"),
    ("URL", "a URL such as pop3://mail.example.net"),
    ("LOGIN", "a login of at most 128 octets"),
    ("DURATION", "a duration such as 30s, 15m or 2h"),
    (
        "HH:MM[,HH:MM...]",
        "at most 24 times of day such as 08:00,12:30",
    ),
    ("HH:MM-HH:MM", "times of day such as 18:00-08:00"),
    ("STYLE", "a style of ring such as 2, B or the number called"),
    ("DAYSd", "days such as 30d"),
    ("PERCENT", "a percentage from 1 to 100"),
    ("ZONE", "a time zone such as Europe/Berlin"),
    ("DATE", "a date such as 2026-01-31"),
    ("TIME", "a time such as 13:45 or 13:45:10"),
    ("WORD", "the first word of a command"),
    ("HASH", "sha256: and 64 hexadecimal digits"),
    ("HOST", "a host such as pool.ntp.org"),
    (
        "ADDR/BITS",
        "an address with its network bits such as 192.168.1.20/24",
    ),
    ("ADDR", "an address such as 192.168.1.1"),
    ("SSID", "a radio network's name of at most 32 octets"),
    ("CC", "a country such as DE"),
];

/// The argument that is a user's name.
pub const USER: &str = "USER";
/// The argument that is a line's name.
pub const LINE: &str = "LINE";
/// The argument that nobody may read.
const SECRET: &str = "SECRET";

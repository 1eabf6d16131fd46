//! The mails that a new sample directory begins with: one of each kind worth looking at.

use std::fs;
use std::io;
use std::path::Path;

use super::{PASSWORD, USER};

/// Makes `dir` with the sample user's maildrop, unless there is such a directory already.
pub(super) fn create_unless_there(dir: &Path) -> io::Result<()> {
    if dir.exists() {
        return Ok(());
    }
    let maildrop = dir.join(USER);
    fs::create_dir_all(&maildrop)?;
    for (name, text) in [
        ("1-welcome", WELCOME),
        ("2-greetings", GREETINGS),
        ("3-dots", DOTS),
    ] {
        fs::write(maildrop.join(name).with_extension("eml"), text)?;
    }
    fs::write(maildrop.join("4-minutes.eml"), minutes())?;
    // Last: there is no logging in to a maildrop that is made by half.
    fs::write(maildrop.join(".password"), format!("{PASSWORD}\n"))
}

const WELCOME: &str = "\
From: Ringmail <postmaster@lan.example>
To: Alice <alice@lan.example>
Subject: Welcome
Date: Mon, 01 Jun 2026 08:00:00 +0000
Message-ID: <welcome@lan.example>

This mail lies on the server of your LAN, as a file. When you dial in, the
gateway hands it to you over the telephone line.

Read it at the desk first (on POP3 that is: fetch and delete it here), and the
gateway will not send it any more:

    curl -I -X DELE pop3://alice:desk@127.0.0.1:6110/1
";

const GREETINGS: &str = "\
From: =?utf-8?Q?J=C3=BCrgen?= <juergen@lan.example>
To: Alice <alice@lan.example>
Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe_aus_K=C3=B6ln?=
Date: Mon, 01 Jun 2026 09:30:00 +0200
Message-ID: <greetings@lan.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Schöne Grüße aus Köln! Über die Leitung gehen acht Bit, nicht sieben.

こんにちは。Привет. Καλημέρα. 📞
";

const DOTS: &str = "\
From: Bob <bob@lan.example>
To: Alice <alice@lan.example>
Subject: Lines that begin with a dot
Date: Mon, 01 Jun 2026 10:15:00 +0000
Message-ID: <dots@lan.example>

POP3 ends a mail with a line of one dot. This mail has such a line:
.
and it does not end there. Two dots:
..
A hidden file:
.profile
What a modem might take for its own, or for the end of the call:
+++ATH0
NO CARRIER
.
";

/// About 40 kB: twelve seconds at 33600 bit/s, long enough to hang up in the middle of it.
fn minutes() -> String {
    let mut text = String::from(
        "\
From: The secretary <secretary@lan.example>
To: Alice <alice@lan.example>
Subject: Minutes of the meeting, all of them
Date: Mon, 01 Jun 2026 11:00:00 +0000
Message-ID: <minutes@lan.example>

",
    );
    for line in 1..=560 {
        text.push_str(&format!(
            "{line:>3}. It was moved, seconded and resolved to read the next line as well.\n"
        ));
    }
    text
}

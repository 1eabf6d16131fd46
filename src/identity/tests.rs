//! Golden values, and what an identity must and must not depend on.

use super::*;

fn header(mail: &[u8]) -> Header {
    let mut reader = HeaderReader::new();
    reader.read(mail);
    reader.finish()
}

fn identity(mail: &str) -> Identity {
    let header = header(mail.as_bytes());
    assert_eq!(header.basis, Basis::Fields, "{mail}");
    header.identity
}

const MAIL: &str = "Return-Path: <ann@example.org>\r\n\
    Received: from a by b with ESMTP id 77;\r\n\tTue, 3 Mar 2020 10:00:01 +0100\r\n\
    Received: from laptop by a; Tue, 3 Mar 2020 10:00:00 +0100\r\n\
    From: Ann <ann@example.org>\r\n\
    To: Bob <bob@example.org>,\r\n Carl <carl@example.org>\r\n\
    Cc: dora@example.org\r\n\
    Date: Tue, 3 Mar 2020 10:00:00 +0100\r\n\
    Subject: Gr\u{fc}\u{df}e from the sea\r\n\
    Message-ID: <1@example.org>\r\n\
    X-Spam: no\r\n\
    \r\n\
    Body\r\n";

/// Computed by another implementation too, written for that.
#[test]
fn golden_values_never_change() {
    let golden = [
        (MAIL, 0xfab6_ec98_01dd_4f35),
        (
            "Date: Tue, 3 Mar 2020 10:00:00 +0100\r\n\r\n",
            0x0fc3_ff01_eb4c_e613,
        ),
        (
            "From: a\r\nMessage-ID: <1@a>\r\n\r\n",
            0xf968_00bd_f857_acca,
        ),
        ("Received: x\r\n\r\n", 0xa023_1ce5_3fda_3ce0),
    ];
    for (mail, expected) in golden {
        assert_eq!(
            identity(mail),
            Identity::new(expected),
            "{:#x} {mail}",
            identity(mail).0
        );
    }
    let golden = [
        ("", 0xdaf1_7c97_9561_b310),
        ("Subject: x\r\n\r\nbody\r\n", 0x7126_e056_85f2_9fe9),
        ("\r\n\r\nbody", 0x8885_8484_75ee_ea4d),
    ];
    for (mail, expected) in golden {
        let header = header(mail.as_bytes());
        let found = header.identity.0;
        assert_eq!(
            (found, header.basis),
            (Identity::new(expected).0, Basis::Content),
            "{found:#x} {mail}"
        );
    }
    assert_eq!(header(MAIL.as_bytes()).day, Some(18_324));
}

#[test]
fn the_pieces_do_not_count() {
    let mut long = MAIL.to_owned();
    long.insert_str(0, &format!("X-Long: {}\r\n", "x".repeat(1 << 20 >> 4)));
    for mail in [MAIL, &long, "Subject: x\r\n\r\nbody \r\n.\r\n\r\n"] {
        let expected = header(mail.as_bytes());
        for size in (1..=64).chain([4095, 4096, 4097]) {
            let mut reader = HeaderReader::new();
            mail.as_bytes()
                .chunks(size)
                .for_each(|piece| reader.read(piece));
            assert_eq!(reader.finish(), expected, "pieces of {size}");
        }
    }
}

#[test]
fn what_servers_change_does_not_count() {
    let expected = identity(MAIL);
    let header_alone = MAIL.strip_suffix("Body\r\n").unwrap();
    let with_end = MAIL.replace("Body", &"other body\r\nDate: x\r\n\r\n".repeat(1000));
    let changed = [
        MAIL.replace("\r\n", "\n"),
        MAIL.replace("\r\n", "\r\r\n"),
        MAIL.replace("\r\n\t", " ").replace("\r\n ", " "),
        MAIL.replace("\r\n ", " ").replace(' ', "\r\n \t "),
        MAIL.replace("From:", "FROM:")
            .replace("Message-ID", "Message-Id"),
        MAIL.replace("Subject:", "subject \t:"),
        MAIL.replace("Subject: ", "Subject:"),
        MAIL.replace("\u{fc}\u{df}", "?"),
        MAIL.replace("\u{fc}\u{df}", "????"),
        MAIL.replace("\u{fc}\u{df}", "\0"),
        MAIL.replace("\u{fc}\u{df}", "\u{80}\r\n \u{1}"),
        MAIL.replace(
            "Return-Path: <ann@example.org>\r\n",
            "Status: RO\r\nX-UIDL: 7\r\n",
        ),
        MAIL.replace(
            "X-Spam: no",
            "X-Spam: yes\r\n\tFrom: nobody\r\nnot a field\r\nDate 3",
        ),
        MAIL.replace("Received: from laptop by a", "Received: from nowhere"),
        format!("From ann@example.org Tue Mar  3 10:00:00 2020\r\n{MAIL}"),
        format!(">From: x\r\n{MAIL}"),
        format!(" From: x\r\n{MAIL}"),
        header_alone.to_owned(),
        header_alone.strip_suffix("\r\n").unwrap().to_owned(),
        with_end,
    ];
    for mail in changed {
        assert_eq!(identity(&mail), expected, "{mail:.700}");
    }
    let mut lines: Vec<String> = header_alone
        .trim_end()
        .replace("\r\n\t", " ")
        .replace("\r\n ", " ")
        .lines()
        .map(str::to_owned)
        .collect();
    // Any order, but of the two Received.
    for _ in 0..lines.len() {
        let other = lines.iter().filter(|line| !line.starts_with("Received"));
        let received = lines.iter().filter(|line| line.contains("ESMTP"));
        let laptop = lines.iter().filter(|line| line.contains("laptop"));
        let all: Vec<_> = other.chain(received).chain(laptop).cloned().collect();
        assert_eq!(identity(&(all.join("\r\n") + "\r\n\r\n")), expected);
        lines.rotate_left(1);
    }
}

#[test]
fn every_field_let_in_counts() {
    let mut all = vec![identity(MAIL)];
    let others = [
        MAIL.replace("From: Ann", "From: Anna"),
        MAIL.replace("From: Ann", "From: ann"),
        MAIL.replace("Carl", "Karl"),
        MAIL.replace("dora@", "d@"),
        MAIL.replace("Date: Tue, 3", "Date: Tue, 4"),
        MAIL.replace("the sea", "the see"),
        MAIL.replace("<1@example", "<2@example"),
        MAIL.replace("id 77", "id 78"),
        MAIL.replace("Cc:", "X-Cc:"),
        MAIL.replace("Cc: ", "Cc: dora@example.org\r\nCc: "),
        MAIL.replace("Cc:", "To:"),
        MAIL.replace("From: ", "From: \r\nFrom: "),
        MAIL.replace(
            "Received: from a by b",
            "Delivered: x\r\nReceived: from z by b",
        ),
    ];
    all.extend(others.iter().map(|mail| identity(mail)));
    let mut distinct = all.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), all.len());
    // What stands in one field does not count as standing in the next.
    let swapped = identity("From: a\r\nTo: b\r\nDate: 1\r\n\r\n");
    assert_ne!(swapped, identity("From: b\r\nTo: a\r\nDate: 1\r\n\r\n"));
}

#[test]
fn twins_are_equal_and_two_deliveries_are_not() {
    assert_eq!(
        identity(MAIL),
        identity(&MAIL.replace("Body", "Footer of a list"))
    );
    let by_list = MAIL.replace("id 77", "id 99");
    assert_ne!(identity(MAIL), identity(&by_list));
}

#[test]
fn a_mail_without_its_own_mark_is_known_by_its_content() {
    let content = |mail: &str| {
        let header = header(mail.as_bytes());
        assert_eq!(header.basis, Basis::Content, "{mail:.100}");
        header.identity
    };
    let mail = "From: a\nSubject: x\nDate: \nMessage-ID:\n\t\n\nbody\n\nmore";
    let expected = content(mail);
    assert_eq!(content(&mail.replace('\n', "\r\n")), expected);
    assert_eq!(content(&format!("{mail}\n\n\n")), expected);
    assert_ne!(content(&mail.replace("more", "mere")), expected);
    assert_ne!(content(&mail.replace("body\n\n", "body\n")), expected);
    assert_ne!(content(""), expected);
    assert_eq!(content(""), content("\r\n\r\n"));
    // Only so much of it.
    let long = format!("\n{}", "x".repeat(10_000));
    assert_eq!(content(&long), content(&format!("\n{}", "x".repeat(4095))));
    assert_ne!(content(&long), content(&format!("\n{}", "x".repeat(4094))));
}

#[test]
fn no_more_is_read_than_counts() {
    let mut reader = HeaderReader::new();
    reader.read(MAIL.as_bytes());
    assert!(reader.is_done());
    let mut reader = HeaderReader::new();
    reader.read(b"\r\n");
    assert!(!reader.is_done());
    reader.read(&[b'x'; 4096]);
    assert!(reader.is_done());
    // A header without an end.
    for line in [
        "Date: 1\r\n",
        "Subject: x",
        "\0",
        ":",
        " ",
        "x",
        "X-Y: z\n",
        "\n x",
    ] {
        let mut reader = HeaderReader::new();
        reader.read(b"Subject: y");
        for _ in 0..=256 * 1024 {
            reader.read(line.as_bytes());
        }
        assert!(reader.is_done(), "{line:?}");
        assert_eq!(reader.finish().day, None);
    }
}

#[test]
fn where_the_header_is_cut_the_line_ends_do_not_count() {
    let mail = format!("Date: 1\n{}From: a\n\n", "X-Filler: y\n".repeat(30_000));
    let shorter = format!("Date: 1\n{}From: b\n\n", "X-Filler: y\n".repeat(30_000));
    assert_eq!(identity(&mail), identity(&mail.replace('\n', "\r\n")));
    assert_eq!(identity(&mail), identity(&shorter));
}

#[test]
fn only_the_first_date_is_read() {
    let day = |mail: &str| header(mail.as_bytes()).day;
    assert_eq!(
        day("Date: 3 Mar 2020\r\nDate: 4 Mar 2020\r\n\r\n"),
        Some(18_324)
    );
    assert_eq!(
        day("Date: Tue,\r\n 3\r\n\tMar\r\n 2020\r\n\r\n"),
        Some(18_324)
    );
    assert_eq!(day("Date: 3 Mar 2020"), Some(18_324));
    assert_eq!(day("X-Date: 3 Mar 2020\r\n\r\nDate: 3 Mar 2020\r\n"), None);
}

#[test]
fn noise_is_no_harm() {
    let words: [&[u8]; 12] = [
        b"From",
        b":",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"Date:",
        b"Received: ",
        b"\0\xff",
        b"3 Mar 20",
        b"(",
        b"Message-ID: ",
    ];
    let mut random = 1_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for _ in 0..5000 {
        let mut mail = Vec::new();
        for _ in 0..next() % 40 {
            mail.extend(words[usize::try_from(next() % 12).unwrap()]);
        }
        let whole = header(&mail);
        let mut reader = HeaderReader::new();
        mail.iter().for_each(|octet| reader.read(&[*octet]));
        assert_eq!(reader.finish(), whole, "{}", mail.escape_ascii());
    }
}

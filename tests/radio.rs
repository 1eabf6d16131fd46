//! A radio network: the card joins one, in an emulated Pi 3 whose kernel plays the radios.
//!
//! ```text
//!   the card's network scripts and wpa_supplicant ~ wlan0 ~ wlan1 ~ hostapd and a DHCP server
//! ```
//!
//! hostapd is Debian's own. The radios are the kernel's (`mac80211_hwsim`): no emulator has a Pi's,
//! so what its driver does with its firmware is not seen here; that the driver loads is.
//!
//! `scripts/test-image` builds the image first and says where it lies; alone, this test is left out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stderr,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support;

use std::env;
use std::path::PathBuf;

use support::pi::{Card, Pi};

/// Makes the far side of the radio.
const LAN: &str = "ap=/ap/usr/lib/aarch64-linux-gnu:/ap/lib/aarch64-linux-gnu
exec >/dev/null 2>&1
/ap/lib/ld-linux-aarch64.so.1 --library-path $ap /ap/usr/sbin/hostapd /etc/hostapd.conf &
until grep -q up /sys/class/net/wlan1/operstate; do sleep 0.5; done
ip address add 192.168.77.1/24 dev wlan1
busybox touch /run/udhcpd.leases
busybox udhcpd -f /etc/udhcpd.conf
";

const HOSTAPD: &str = "interface=wlan1
driver=nl80211
ssid=the attic's \"net\"
hw_mode=g
channel=6
wpa=2
wpa_key_mgmt=WPA-PSK
rsn_pairwise=CCMP
wpa_passphrase= over the air $5 \\ \"ok\" 
";

const UDHCPD: &str = "start 192.168.77.20
end 192.168.77.20
interface wlan1
max_leases 1
lease_file /run/udhcpd.leases
option subnet 255.255.255.0
option router 192.168.77.1
";

#[test]
#[ignore = "scripts/test-image builds the image and runs this"]
fn a_radio_network_is_joined_and_what_is_wrong_is_said() {
    let card = Card::new(
        "hostname attic
line modem phone 127.0.0.1:5300
net dhcp
user add alice password ring
wifi country DE
wifi \"another net\" password \" over the air $5 \\\\ \\\"ok\\\" \"
",
    );
    let mut more = card.more();
    for module in [
        "lib/crypto/libarc4",
        "net/mac80211/mac80211",
        "crypto/ccm",
        "drivers/net/wireless/virtual/mac80211_hwsim",
    ] {
        more.module(module);
    }
    let point = PathBuf::from(env::var_os("RINGMAIL_ACCESS_POINT").expect("RINGMAIL_ACCESS_POINT"));
    more.directory("ap", &point);
    more.script("lan", LAN);
    more.file("hostapd.conf", HOSTAPD);
    more.file("udhcpd.conf", UDHCPD);
    // The Pi's own driver finds no radio of its own here, and says nothing of it.
    more.script(
        "radios",
        "until [ -d /sys/module/brcmfmac ]; do sleep 0.2; done
/etc/modprobe -q -- brcmfmac-wcc
until [ -d /sys/module/brcmfmac_wcc ]; do sleep 0.2; done
for module in libarc4 mac80211 ccm; do insmod /modules/$module.ko; done
insmod /modules/mac80211_hwsim.ko radios=2
/etc/lan &
until ip address show dev wlan0 | grep -qF 192.168.77.30; do sleep 0.5; done
while :; do
    echo \"askers for addresses: $(busybox pidof udhcpc).\" >/dev/ttyS1
    sleep 1
done
",
    );
    more.append("::once:/etc/radios\n");
    let mut pi = card.switch_on(([127, 0, 0, 1], 1).into(), &[]);
    pi.expect("ready: ");
    pi.expect("wifi: no network another net is heard");
    joins(&mut pi, "wrong words", "takes another password");
    joins(
        &mut pi,
        " over the air $5 \\\\ \\\"ok\\\" ",
        "joined the attic's \"net\"",
    );
    pi.expect("net: wlan0 has 192.168.77.20/24");
    pi.type_in("wifi off\r");
    pi.type_in("net static 192.168.77.30/24 gateway 192.168.77.2 dns 192.168.77.1\r");
    pi.type_in("hostname wired\r");
    pi.expect("wired> ");
    // The radio has the address, not the wire that is there as well.
    joins(
        &mut pi,
        " over the air $5 \\\\ \\\"ok\\\" ",
        "net: wlan0 has 192.168.77.30/24",
    );
    // What was started for other words has ended.
    pi.expect("askers for addresses: .");
}

/// The owner names the network, with this password; `news` is what he reads then.
fn joins(pi: &mut Pi<'_>, password: &str, news: &str) {
    pi.type_in(&format!(
        "wifi \"the attic's \\\"net\\\"\" password \"{password}\"\r"
    ));
    pi.expect(news);
}

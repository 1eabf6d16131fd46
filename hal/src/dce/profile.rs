//! What commands set (V.250 §6).

/// Registers kept.
const REGISTERS: usize = 64;

/// What commands set.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    pub(super) echo: bool,
    pub(super) verbose: bool,
    pub(super) quiet: bool,
    /// `X`.
    pub(super) extended: u16,
    /// `&C`: 0 keeps DCD on.
    pub(super) carrier: u16,
    /// `&D`: what the loss of DTR does.
    pub(super) dtr: u16,
    pub(super) caller_id: bool,
    pub(super) registers: [u8; REGISTERS],
}

impl Profile {
    pub(super) const fn factory() -> Self {
        let mut registers = [0; REGISTERS];
        let defaults: [(usize, u8); 6] = [(2, b'+'), (3, 13), (4, 10), (5, 8), (7, 50), (12, 50)];
        let mut i = 0;
        while i < defaults.len() {
            #[expect(clippy::indexing_slicing, reason = "checked at compile time")]
            let (register, value) = defaults[i];
            #[expect(clippy::indexing_slicing, reason = "checked at compile time")]
            {
                registers[register] = value;
            }
            i += 1;
        }
        Self {
            echo: true,
            verbose: true,
            quiet: false,
            extended: 4,
            carrier: 1,
            dtr: 2,
            caller_id: false,
            registers,
        }
    }

    pub(super) fn register(&self, register: usize) -> u8 {
        self.registers.get(register).copied().unwrap_or(0)
    }
}

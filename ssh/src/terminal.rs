//! A terminal for a command: what it is called and how large it is.

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Width.
    pub columns: u16,
    /// Height.
    pub rows: u16,
}

impl Default for Size {
    /// What terminals are when nobody says anything.
    fn default() -> Self {
        Self { columns: 80, rows: 24 }
    }
}

/// A terminal that the far side makes for a command. It begins *raw*: nothing is echoed, waited for or translated until
/// the command, or `stty`, sets it otherwise. Both outputs of the command are one then, its standard output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// What goes into the variable `TERM`.
    pub kind: String,
    /// Its first size.
    pub size: Size,
}

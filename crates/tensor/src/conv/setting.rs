//! Whether Winograd's algorithm may be chosen, decided for the whole process.
//!
//! It is the fastest algorithm for 3x3 layers with many channels, but every value
//! affects its whole tile of 4x4 outputs: one 1e4 among values of order 1 costs two
//! digits of accuracy in outputs that do not depend on it, and one infinity turns
//! seven more of them into NaN. Where that matters, the implicit kernel is chosen
//! instead: by `CERBERUS_WINOGRAD=off`, or by [`set_winograd`].

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

/// The environment variable that switches Winograd's algorithm off.
pub const WINOGRAD_VARIABLE: &str = "CERBERUS_WINOGRAD";

/// The last choice given to [`set_winograd`]; 0 before the first call.
static CHOICE: AtomicU8 = AtomicU8::new(0);
const ON: u8 = 1;
const OFF: u8 = 2;

/// `CERBERUS_WINOGRAD` has an unknown value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WinogradError {
    value: String,
}

impl std::fmt::Display for WinogradError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{WINOGRAD_VARIABLE}={:?}: unset the variable or use one of: on, off", self.value)
    }
}

impl std::error::Error for WinogradError {}

/// Lets convolutions use Winograd's algorithm, or not, from now on and in the whole
/// process, whatever the environment says. Results change in their last digits.
pub fn set_winograd(enabled: bool) {
    CHOICE.store(if enabled { ON } else { OFF }, Ordering::Relaxed);
}

/// Whether a value of `CERBERUS_WINOGRAD` means on; no value or an empty one does.
///
/// # Errors
/// If it is neither `on` nor `off`.
pub fn winograd_from_setting(value: Option<&str>) -> Result<bool, WinogradError> {
    match value {
        None | Some("" | "on") => Ok(true),
        Some("off") => Ok(false),
        Some(value) => Err(WinogradError { value: value.to_string() }),
    }
}

/// What the environment says. Programs call this first, so that a bad setting gives an
/// error.
///
/// # Errors
/// As [`winograd_from_setting`].
pub fn winograd_from_environment() -> Result<bool, WinogradError> {
    static SETTING: OnceLock<Result<bool, WinogradError>> = OnceLock::new();
    let read = || {
        let value = std::env::var_os(WINOGRAD_VARIABLE).map(|value| value.to_string_lossy().into_owned());
        winograd_from_setting(value.as_deref())
    };
    SETTING.get_or_init(read).clone()
}

/// Whether convolutions use Winograd's algorithm where it is worthwhile.
///
/// # Panics
/// If `CERBERUS_WINOGRAD` has an unknown value and neither
/// [`winograd_from_environment`] nor [`set_winograd`] was called before.
pub fn winograd_enabled() -> bool {
    match CHOICE.load(Ordering::Relaxed) {
        ON => true,
        OFF => false,
        _ => winograd_from_environment().unwrap_or_else(|error| panic!("{error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_on_or_off_and_anything_else_is_refused_with_both_words() {
        assert_eq!(winograd_from_setting(None), Ok(true));
        assert_eq!(winograd_from_setting(Some("")), Ok(true));
        assert_eq!(winograd_from_setting(Some("on")), Ok(true));
        assert_eq!(winograd_from_setting(Some("off")), Ok(false));
        let told = winograd_from_setting(Some("no")).unwrap_err().to_string();
        assert_eq!(told, "CERBERUS_WINOGRAD=\"no\": unset the variable or use one of: on, off");
    }
}

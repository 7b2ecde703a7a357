//! Which instruction set the hot kernels use, decided once per run.
//!
//! Each kernel is compiled once for every instruction set, from one source. The
//! best set the CPU has is used, unless the environment variable `CERBERUS_ISA`
//! names another: this lets the tests reach every path on one machine, and lets
//! two machines give the same results.

use std::sync::OnceLock;

/// The environment variable that pins the instruction set.
pub const VARIABLE: &str = "CERBERUS_ISA";

/// An instruction set the hot kernels are compiled for, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain Rust that the compiler vectorises for the build's target.
    Portable,
    /// AVX2 and FMA: vectors of 256 bits.
    Avx2,
    /// AVX-512F: vectors of 512 bits.
    Avx512,
}

/// `CERBERUS_ISA` names an instruction set that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsaError {
    value: String,
    known: bool,
}

impl std::fmt::Display for IsaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let usable: Vec<&str> =
            Isa::ALL.into_iter().filter(|isa| isa.is_available()).map(Isa::name).collect();
        let problem = if self.known { "is not supported by this CPU" } else { "is no instruction set" };
        write!(
            f,
            "{VARIABLE}={:?}: that {problem}; unset the variable or use one of: {}",
            self.value,
            usable.join(", ")
        )
    }
}

impl std::error::Error for IsaError {}

impl Isa {
    /// All of them, weakest first.
    pub const ALL: [Isa; 3] = [Isa::Portable, Isa::Avx2, Isa::Avx512];

    /// The name in `CERBERUS_ISA` and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }

    /// Whether this CPU has it.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The strongest this CPU has.
    pub fn best() -> Isa {
        Isa::ALL.into_iter().rev().find(|isa| isa.is_available()).unwrap_or(Isa::Portable)
    }

    /// The set that a value of `CERBERUS_ISA` selects; no value or an empty one selects [`best`](Isa::best).
    ///
    /// # Errors
    /// If it names no instruction set, or one the CPU lacks.
    pub fn from_setting(value: Option<&str>) -> Result<Isa, IsaError> {
        let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(Isa::best()) };
        let found = Isa::ALL.into_iter().find(|isa| isa.name() == value);
        let error = IsaError { value: value.to_string(), known: found.is_some() };
        found.filter(|isa| isa.is_available()).ok_or(error)
    }

    /// The one this run uses. Programs call this first, so that a bad setting
    /// gives an error; [`active`](Isa::active) is for code that runs later.
    ///
    /// # Errors
    /// As [`from_setting`](Isa::from_setting).
    pub fn from_environment() -> Result<Isa, IsaError> {
        static CHOICE: OnceLock<Result<Isa, IsaError>> = OnceLock::new();
        let choose = || {
            let value = std::env::var_os(VARIABLE).map(|value| value.to_string_lossy().into_owned());
            Isa::from_setting(value.as_deref())
        };
        CHOICE.get_or_init(choose).clone()
    }

    /// The one this run uses.
    ///
    /// # Panics
    /// If `CERBERUS_ISA` is set to something that cannot be used and the
    /// program did not call [`from_environment`](Isa::from_environment) first.
    pub fn active() -> Isa {
        Isa::from_environment().unwrap_or_else(|error| panic!("{error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_run_on_the_instruction_set_that_is_asked_for() {
        let asked = std::env::var(VARIABLE).ok();
        let expected = Isa::from_setting(asked.as_deref()).unwrap();
        assert_eq!(Isa::active(), expected);
        assert_eq!(<f32 as crate::Element>::kernels().isa, expected);
        if cfg!(feature = "f64-simd") {
            assert_eq!(<f64 as crate::Element>::kernels().isa, expected);
        }
    }

    #[test]
    fn a_setting_is_taken_by_name_and_refused_with_the_names_there_are() {
        assert_eq!(Isa::from_setting(None), Ok(Isa::best()));
        assert_eq!(Isa::from_setting(Some("")), Ok(Isa::best()));
        assert_eq!(Isa::from_setting(Some("portable")), Ok(Isa::Portable));
        let message = Isa::from_setting(Some("sse9")).unwrap_err().to_string();
        assert!(message.starts_with("CERBERUS_ISA=\"sse9\": that is no instruction set"), "{message}");
        assert!(message.contains("portable"), "{message}");
    }

    #[test]
    fn an_instruction_set_the_cpu_lacks_is_refused() {
        for isa in Isa::ALL {
            let set = Isa::from_setting(Some(isa.name()));
            assert_eq!(set.is_ok(), isa.is_available());
            if let Err(error) = set {
                assert!(error.to_string().contains("not supported by this CPU"));
            }
        }
    }
}

//! What looks at models and devices beside rendering: `doctor` tries out every part of a device and a model, `inspect`
//! says what files are, `calibrate` measures a model's step cache, `bench` how fast a device is.
//! `known` lists what is published.

pub mod bench;
pub mod calibrate;
pub mod doctor;
pub mod inspect;
pub mod known;

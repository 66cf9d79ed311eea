//! The product as people run it: real processes, real files, real kills.

mod access;
mod again;
mod bad_input;
mod cached;
mod chains;
mod chaos;
mod clips;
#[cfg(target_os = "linux")]
mod descriptors;
#[cfg(target_os = "linux")]
mod disk;
mod farm;
mod faster;
mod first_frame;
mod handing_on;
mod hub;
mod inspect;
mod judge;
mod kept_texts;
mod known_before;
mod known_frame;
mod leaving;
mod model_files;
#[cfg(unix)]
mod one_video;
mod output_folder;
mod pages;
mod program;
mod prompts;
mod protocol;
mod reach;
mod reference;
mod remembers;
mod residency;
mod restart;
#[cfg(target_os = "linux")]
mod room;
mod survival;
mod terminate;
mod tiny;
#[cfg(target_os = "linux")]
mod top;
mod traces;
mod twins;
mod verbs;
mod web;

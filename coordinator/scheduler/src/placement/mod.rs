//! Which item goes to which worker. See README.md beside this file: goals, abstraction, policy.
//! Deliberately ignorant of jobs' states, checkpoints and messages: it sees a board of tickets and seats.

mod board;
mod lane;
mod load;
mod place;
mod policy;
mod pool;
mod residency;
mod seat;
mod tail;

pub(crate) use board::Board;
pub(crate) use lane::Ticket;
pub(crate) use load::kept;
pub(crate) use place::{has_room, may_run};
pub(crate) use policy::{Decision, is_held_back, next_decision};
pub(crate) use pool::Candidate;
pub(crate) use residency::{LOAD_SPEED, Residency};
pub(crate) use seat::{Membership, Occupant, Seat};
pub(crate) use tail::is_better_kept;

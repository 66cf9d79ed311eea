//! Which item goes to which worker. See README.md beside this file: goals, abstraction, policy.
//! Deliberately ignorant of jobs' states, checkpoints and messages: it sees a board of tickets and seats.

mod board;
mod lane;
mod policy;
mod pool;
mod seat;
mod tail;

pub(crate) use board::Board;
pub(crate) use lane::{LaneId, Ticket};
pub(crate) use policy::{Decision, is_held_back, next_decision};
pub(crate) use pool::Candidate;
pub(crate) use seat::{Membership, Occupant, Seat};
pub(crate) use tail::is_better_kept;

//! How much memory a layer takes, and who gets which part of it.

use lowrank::train::{Optimizer, Plan, Trained, Work};
use lowrank::{MatMut, Saved, Shape};

use crate::codes::*;
use crate::error::{Fault, lowrank_error};
use crate::matrix::{lowrank_adapter_mut, lowrank_grads, lowrank_matrix_mut};
use crate::memory::{SliceMut, Struct, StructMut, structures};
use crate::named::lowrank_code;
use crate::saved::{lowrank_dropout, lowrank_saved, lowrank_state};

/// What a layer is to do: sizes, tokens at a time, optimizer.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_plan {
    /// Bytes of this struct.
    pub size: usize,
    /// Columns of W and A.
    pub inputs: usize,
    /// Rows of W and B.
    pub outputs: usize,
    /// Rows of A, columns of B.
    pub rank: usize,
    /// The most tokens at a time.
    pub tokens: usize,
    /// LOWRANK_ADAMW, LOWRANK_SGD, LOWRANK_MOMENTUM, LOWRANK_IN_PLACE; LOWRANK_INFERENCE where nothing is trained.
    pub optimizer: u32,
    /// LOWRANK_TRAINS_A, LOWRANK_TRAINS_BIAS, both (|) or 0: what is trained beside B. With LOWRANK_IN_PLACE, there is nothing
    /// in the arena that tells whether A is trained: it is where a step gets `x`.
    pub trained: u32,
}

/// Elements of the parts of an arena, in their order.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_lengths {
    /// Bytes of this struct; to be set before the call.
    pub size: usize,
    /// Of the whole arena.
    pub arena: usize,
    /// A, B and the bias, if it is trained.
    pub adapter: usize,
    /// Gradients.
    pub grads: usize,
    /// Saved activations.
    pub saved: usize,
    /// State of the optimizer.
    pub state: usize,
}

/// The parts of an arena.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_work {
    /// Bytes of this struct; to be set before the call.
    pub size: usize,
    /// The adapter. Its scale is 1 until it is set; A and B hold what was in the arena: see `lowrank_init_kaiming_uniform`.
    pub adapter: lowrank_adapter_mut,
    /// Gradients, to be replaced by each backward pass.
    pub grads: lowrank_grads,
    /// Between forward and backward.
    pub saved: lowrank_saved,
    /// Of the optimizer, before the first step; to resume, set its clock.
    pub state: lowrank_state,
}

structures!(lowrank_plan lowrank_lengths lowrank_work);

pub(crate) fn optimizer(code: u32) -> Result<Option<Optimizer>, Fault> {
    match code {
        LOWRANK_INFERENCE => Ok(None),
        LOWRANK_MOMENTUM => Ok(Some(Optimizer::Momentum)),
        LOWRANK_ADAMW => Ok(Some(Optimizer::AdamW)),
        LOWRANK_SGD => Ok(Some(Optimizer::Sgd)),
        LOWRANK_IN_PLACE => Ok(Some(Optimizer::InPlace)),
        got => Err(Fault::unknown(LOWRANK_ARGUMENT_OPTIMIZER, got)),
    }
}

pub(crate) fn trained(flags: u32) -> Result<Trained, Fault> {
    if flags & !(LOWRANK_TRAINS_A | LOWRANK_TRAINS_BIAS) != 0 {
        return Err(Fault::unknown(LOWRANK_ARGUMENT_TRAINED, flags));
    }
    Ok(Trained { a: flags & LOWRANK_TRAINS_A != 0, bias: flags & LOWRANK_TRAINS_BIAS != 0 })
}

impl lowrank_plan {
    fn shape(&self) -> Shape {
        Shape::new(self.inputs, self.outputs, self.rank)
    }

    /// `None` for inference.
    fn get(&self) -> Result<Option<Plan>, Fault> {
        let trained = trained(self.trained)?;
        Ok(optimizer(self.optimizer)?.map(|it| Plan::training(self.shape(), self.tokens, it).with(trained)))
    }

    fn lengths(&self) -> Result<lowrank_lengths, Fault> {
        let size = size_of::<lowrank_lengths>();
        let lengths = match self.get()? {
            None => Saved::inference_len(self.shape(), self.tokens).map(|saved| lowrank_lengths {
                size,
                arena: saved,
                adapter: 0,
                grads: 0,
                saved,
                state: 0,
            }),
            Some(plan) => lengths(&plan),
        };
        lengths.ok_or(Fault::new(LOWRANK_OVERFLOW, LOWRANK_ARGUMENT_ARENA, 0, 0))
    }
}

fn lengths(plan: &Plan) -> Option<lowrank_lengths> {
    Some(lowrank_lengths {
        size: size_of::<lowrank_lengths>(),
        arena: plan.checked_len()?,
        adapter: plan.adapter_len()?,
        grads: plan.grads_len()?,
        saved: plan.saved_len()?,
        state: plan.state_len()?,
    })
}

/// How many elements the arena of a plan has, and each of its parts.
///
/// Where the sizes are constants, LOWRANK_ARENA_LEN is the same number as a constant.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_OVERFLOW when no memory could be long enough; LOWRANK_UNKNOWN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_plan_lengths(
    plan: *const lowrank_plan,
    lengths: *mut lowrank_lengths,
    error: *mut lowrank_error,
) -> lowrank_status {
    let passed = (Struct(LOWRANK_ARGUMENT_PLAN, plan), StructMut(LOWRANK_ARGUMENT_LENGTHS, lengths));
    crate::call!(error, passed, |(plan, lengths)| {
        *lengths = plan.lengths()?;
        Ok(())
    })
}

/// Cuts an arena of exactly as many elements as the plan says, and writes nothing to it. `arena` is at a multiple of 4.
///
/// For inference, only `saved` is cut off; the other parts of `work` are left out.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_LENGTH when the arena is shorter or longer; LOWRANK_OVERFLOW; LOWRANK_UNKNOWN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_plan_split(
    plan: *const lowrank_plan,
    arena: *mut f32,
    arena_len: usize,
    work: *mut lowrank_work,
    error: *mut lowrank_error,
) -> lowrank_status {
    let memory = SliceMut(LOWRANK_ARGUMENT_ARENA, arena, arena_len);
    let passed = (Struct(LOWRANK_ARGUMENT_PLAN, plan), memory, StructMut(LOWRANK_ARGUMENT_WORK, work));
    crate::call!(error, passed, |(plan, memory, work)| {
        let lengths = plan.lengths()?;
        let saved = lowrank_saved {
            size: size_of::<lowrank_saved>(),
            memory: arena.wrapping_add(lengths.adapter).wrapping_add(lengths.grads),
            inputs: plan.inputs,
            outputs: plan.outputs,
            rank: plan.rank,
            tokens: plan.tokens,
            batch: 0,
            progress: LOWRANK_PROGRESS_NONE,
            training: u32::from(plan.optimizer != LOWRANK_INFERENCE),
            dropout: lowrank_dropout::NONE,
            dropped: lowrank_dropout::NONE,
            masks: lowrank_code::NONE,
        };
        if memory.len() != lengths.arena {
            return Err(Fault::new(LOWRANK_LENGTH, LOWRANK_ARGUMENT_ARENA, lengths.arena, memory.len()));
        }
        *work = match plan.get()? {
            None => lowrank_work { saved, ..lowrank_work::EMPTY },
            Some(plan) => lowrank_work { saved, ..lowrank_work::of(plan.split(memory)?) },
        };
        Ok(())
    })
}

impl lowrank_matrix_mut {
    /// Left out.
    const ABSENT: Self = Self { size: size_of::<Self>(), data: core::ptr::null_mut(), rows: 0, cols: 0, stride: 0 };

    fn of(mut matrix: MatMut<'_>) -> Self {
        let (rows, cols, stride) = (matrix.rows(), matrix.cols(), matrix.stride());
        let row = matrix.row_mut(0);
        let data = if row.is_empty() { core::ptr::null_mut() } else { row.as_mut_ptr() };
        Self { size: size_of::<Self>(), data, rows, cols, stride }
    }

    fn maybe(matrix: Option<MatMut<'_>>) -> Self {
        matrix.map_or(Self::ABSENT, Self::of)
    }
}

impl lowrank_work {
    const EMPTY: Self = {
        let none = lowrank_matrix_mut::ABSENT;
        Self {
            size: size_of::<Self>(),
            adapter: lowrank_adapter_mut {
                size: size_of::<lowrank_adapter_mut>(),
                a: none,
                b: none,
                bias: none,
                scale: 0.0,
            },
            grads: lowrank_grads {
                size: size_of::<lowrank_grads>(),
                a: none,
                b: none,
                bias: none,
                accumulate: LOWRANK_REPLACE,
            },
            saved: lowrank_saved {
                size: size_of::<lowrank_saved>(),
                memory: core::ptr::null_mut(),
                inputs: 0,
                outputs: 0,
                rank: 0,
                tokens: 0,
                batch: 0,
                progress: LOWRANK_PROGRESS_NONE,
                training: 0,
                dropout: lowrank_dropout::NONE,
                dropped: lowrank_dropout::NONE,
                masks: lowrank_code::NONE,
            },
            state: lowrank_state::empty([none; 6]),
        }
    };

    /// All but what is saved.
    fn of(work: Work<'_>) -> Self {
        let Work { adapter, grads, saved: _, state } = work;
        let (of, maybe) = (lowrank_matrix_mut::of, lowrank_matrix_mut::maybe);
        let moments = [
            of(state.a.first),
            of(state.a.second),
            of(state.b.first),
            of(state.b.second),
            of(state.bias.first),
            of(state.bias.second),
        ];
        Self {
            adapter: lowrank_adapter_mut {
                size: size_of::<lowrank_adapter_mut>(),
                a: of(adapter.a),
                b: of(adapter.b),
                bias: maybe(adapter.bias),
                scale: adapter.scale,
            },
            grads: lowrank_grads {
                size: size_of::<lowrank_grads>(),
                a: maybe(grads.a),
                b: of(grads.b),
                bias: maybe(grads.bias),
                accumulate: LOWRANK_REPLACE,
            },
            state: lowrank_state::empty(moments),
            ..Self::EMPTY
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::optimizer_code;

    #[test]
    fn saved_activations_lie_where_the_plan_puts_them() {
        for (optimizer, trained) in [(Optimizer::AdamW, 3), (Optimizer::InPlace, 1), (Optimizer::Momentum, 0)] {
            let plan = lowrank_plan {
                size: size_of::<lowrank_plan>(),
                inputs: 5,
                outputs: 3,
                rank: 2,
                tokens: 4,
                optimizer: optimizer_code(optimizer),
                trained,
            };
            let lengths = plan.lengths().unwrap();
            assert_eq!(lengths.arena, lengths.adapter + lengths.grads + lengths.saved + lengths.state);
            let mut arena = std::vec![0.0; lengths.arena];
            let start = arena.as_ptr().addr();
            let work = plan.get().unwrap().unwrap().split(&mut arena).unwrap();
            let mut saved = work.saved;
            saved.resume(Some(lowrank::Batch { tokens: 4, progress: lowrank::Progress::Forward })).unwrap();
            assert_eq!(saved.hs().row(0).as_ptr().addr() - start, 4 * (lengths.adapter + lengths.grads));
        }
    }
}

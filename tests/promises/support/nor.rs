//! NOR flash as it may be: everything that [`lowrank::store`] says about hardware, and no favour more.

use lowrank::Flash;

use super::Rng;

/// What a driver says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// The power has failed.
    Cut,
    /// A unit that was cut does not read blank.
    NotBlank,
    /// What a test has asked for.
    Broken,
}

/// What a cut operation was about to do to a unit.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Cut<const WRITE: usize> {
    Program([u8; WRITE]),
    Erase,
}

/// A write unit: what its last completed operation left, and what was cut since, each with the number of the cut.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unit<const WRITE: usize> {
    whole: [u8; WRITE],
    cuts: Vec<(usize, Cut<WRITE>)>,
}

/// How the units of one cut operation read until the next boot.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As before.
    Before,
    /// As if the operation had been completed.
    Meant,
    /// All zero as far as they were to be erased, as chips do it before they erase; otherwise as meant.
    Zero,
    /// Differently each time, each of them: as before, as meant, bit by bit the one or the other, or noise.
    Any,
}

impl Mood {
    fn draw(rng: &mut Rng) -> Self {
        [Mood::Before, Mood::Before, Mood::Meant, Mood::Meant, Mood::Zero, Mood::Any, Mood::Any][rng.below(7)]
    }
}

/// Once in a while, a call that goes wrong without a cut.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// This call fails, counted from now; it does nothing.
    Fails(u64),
    /// This call and all after it fail.
    Breaks(u64),
    /// This program or erase does nothing, counted from now.
    Ignored(u64),
}

#[derive(Clone, Debug)]
pub(crate) struct Nor<const WRITE: usize, const ERASE: usize> {
    units: Vec<Unit<WRITE>>,
    /// Of each cut.
    pub(crate) moods: Vec<Mood>,
    rng: Rng,
    pub(crate) fault: Fault,
    /// Steps until the power fails.
    pub(crate) fuse: Option<u64>,
    /// Steps taken: a byte programmed, a quarter of a block erased.
    pub(crate) steps: u64,
    /// Whole units take one step, and so do blocks.
    pub(crate) coarse: bool,
    /// Blocks are erased from the last to the first.
    pub(crate) backwards: bool,
    dead: bool,
}

impl<const WRITE: usize, const ERASE: usize> Nor<WRITE, ERASE> {
    pub(crate) fn blank(len: usize, seed: u64) -> Self {
        let unit = Unit { whole: [0xff; WRITE], cuts: vec![] };
        Self {
            units: vec![unit; len / WRITE],
            moods: vec![],
            rng: Rng(seed),
            fault: Fault::None,
            fuse: None,
            steps: 0,
            coarse: false,
            backwards: false,
            dead: false,
        }
    }

    /// Puts bytes there, whatever was there.
    pub(crate) fn plant(&mut self, at: usize, bytes: &[u8]) {
        for (i, &byte) in bytes.iter().enumerate() {
            self.units[(at + i) / WRITE].whole[(at + i) % WRITE] = byte;
        }
    }

    /// All bytes; units that were cut as they were before.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.units.iter().flat_map(|unit| unit.whole).collect()
    }

    /// The power is back, for so many steps. Every cut gets a new mood.
    pub(crate) fn boot(&mut self, fuse: Option<u64>) {
        (self.dead, self.fuse, self.steps) = (false, fuse, 0);
        let rng = &mut self.rng;
        self.moods.iter_mut().for_each(|mood| *mood = Mood::draw(rng));
    }

    /// Per cut, all moods that make a difference.
    pub(crate) fn choices(&self) -> Vec<Vec<Mood>> {
        let kind = |number| {
            let mut cuts = self.units.iter().flat_map(|unit| &unit.cuts);
            cuts.find(|cut| cut.0 == number).map(|cut| cut.1)
        };
        let moods = |number| match kind(number) {
            None => vec![Mood::Before],
            Some(Cut::Program(_)) => vec![Mood::Before, Mood::Meant],
            Some(Cut::Erase) => vec![Mood::Before, Mood::Meant, Mood::Zero],
        };
        (0..self.moods.len()).map(moods).collect()
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead
    }

    /// Burns a step; whether the power fails in it.
    fn fails_now(&mut self) -> bool {
        self.steps += 1;
        match &mut self.fuse {
            Some(0) => {
                self.dead = true;
                self.moods.push(Mood::Any);
                true
            }
            Some(fuse) => {
                *fuse -= 1;
                false
            }
            None => false,
        }
    }

    /// Whether a cut at the very start of an operation comes before it has begun.
    fn is_not_begun(&mut self) -> bool {
        !self.coarse && self.rng.below(4) == 0
    }

    /// An error for the calls that have to go wrong; whether this one does nothing.
    fn fault(&mut self, writes: bool) -> Result<bool, Said> {
        if self.dead {
            return Err(Said::Cut);
        }
        match &mut self.fault {
            Fault::Fails(0) => {
                self.fault = Fault::None;
                return Err(Said::Broken);
            }
            Fault::Ignored(0) if writes => {
                self.fault = Fault::None;
                return Ok(true);
            }
            Fault::Breaks(0) => return Err(Said::Broken),
            Fault::Fails(left) | Fault::Breaks(left) => *left -= 1,
            Fault::Ignored(left) if writes => *left -= 1,
            _ => {}
        }
        Ok(false)
    }

    fn look(&mut self, unit: usize) -> [u8; WRITE] {
        let Unit { whole, cuts } = &self.units[unit];
        let mut value = *whole;
        for &(number, cut) in cuts {
            value = see(value, cut, self.moods[number], &mut self.rng);
        }
        value
    }

    fn program_unit(&mut self, unit: usize, bytes: [u8; WRITE]) -> Result<(), Said> {
        let cuts = &self.units[unit].cuts;
        let again = |cut: &Cut<WRITE>| *cut == Cut::Program(bytes);
        assert!(cuts.iter().all(|(_, cut)| again(cut)), "programmed after the cut of an erase, or of other bytes");
        if cuts.is_empty() {
            assert_eq!(self.units[unit].whole, [0xff; WRITE], "unit {unit} programmed twice");
        } else if self.look(unit) != [0xff; WRITE] {
            return Err(Said::NotBlank);
        }
        for step in 0..if self.coarse { 1 } else { WRITE } {
            if self.fails_now() {
                if step > 0 || !self.is_not_begun() {
                    let number = self.moods.len() - 1;
                    self.units[unit].cuts.push((number, Cut::Program(bytes)));
                }
                return Err(Said::Cut);
            }
        }
        self.units[unit] = Unit { whole: bytes, cuts: vec![] };
        Ok(())
    }

    fn erase_block(&mut self, from: usize) -> Result<(), Said> {
        let units = from / WRITE..(from + ERASE) / WRITE;
        for step in 0..if self.coarse { 1 } else { 4 } {
            if self.fails_now() {
                if step > 0 || !self.is_not_begun() {
                    let number = self.moods.len() - 1;
                    self.units[units].iter_mut().for_each(|unit| unit.cuts.push((number, Cut::Erase)));
                }
                return Err(Said::Cut);
            }
        }
        self.units[units].fill(Unit { whole: [0xff; WRITE], cuts: vec![] });
        Ok(())
    }
}

impl<const WRITE: usize, const ERASE: usize> Flash for Nor<WRITE, ERASE> {
    type Error = Said;
    const WRITE: usize = WRITE;
    const ERASE: usize = ERASE;

    fn capacity(&self) -> usize {
        self.units.len() * WRITE
    }

    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), Said> {
        self.fault(false)?;
        let at = at as usize;
        let len = into.len();
        assert!(at.is_multiple_of(16) && len.is_multiple_of(16) && len > 0, "{len} bytes read at {at}");
        for unit in at / WRITE..(at + into.len()).div_ceil(WRITE) {
            let seen = self.look(unit);
            for (i, &byte) in seen.iter().enumerate() {
                if let Some(to) = (unit * WRITE + i).checked_sub(at).and_then(|i| into.get_mut(i)) {
                    *to = byte;
                }
            }
        }
        Ok(())
    }

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Said> {
        if self.fault(true)? {
            return Ok(());
        }
        let (from, to) = (from as usize, to as usize);
        let whole = from.is_multiple_of(ERASE) && to.is_multiple_of(ERASE);
        assert!(whole && from < to && to <= self.capacity(), "erased {from}..{to}");
        let mut blocks: Vec<usize> = (from..to).step_by(ERASE).collect();
        if self.backwards {
            blocks.reverse();
        }
        blocks.into_iter().try_for_each(|block| self.erase_block(block))
    }

    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), Said> {
        if self.fault(true)? {
            return Ok(());
        }
        let at = at as usize;
        let len = bytes.len();
        assert!(at.is_multiple_of(WRITE) && len.is_multiple_of(WRITE) && len > 0, "{len} bytes programmed at {at}");
        let units = at / WRITE..;
        bytes.chunks(WRITE).zip(units).try_for_each(|(bytes, unit)| self.program_unit(unit, bytes.try_into().unwrap()))
    }
}

/// One look at a unit that an operation was to change when it was cut.
fn see<const WRITE: usize>(before: [u8; WRITE], cut: Cut<WRITE>, mood: Mood, rng: &mut Rng) -> [u8; WRITE] {
    let (zero, meant) = match cut {
        Cut::Program(bytes) => (false, std::array::from_fn(|i| before[i] & bytes[i])),
        Cut::Erase => (true, [0xff; WRITE]),
    };
    match mood {
        Mood::Before => before,
        Mood::Zero if zero => [0; WRITE],
        Mood::Meant | Mood::Zero => meant,
        Mood::Any => match rng.below(8) {
            0..3 => before,
            3..6 => meant,
            6 if zero => std::array::from_fn(|_| rng.next() as u8),
            _ => {
                let mask = rng.next();
                std::array::from_fn(|i| {
                    let mask = (mask >> (i % 57)) as u8;
                    before[i] & !mask | meant[i] & mask
                })
            }
        },
    }
}

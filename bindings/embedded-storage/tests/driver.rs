//! Files go through a driver for `embedded_storage` that insists on its rules, and errors come back.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use lowrank::format::{Contents, Entry};
use lowrank::store::{Flash, Store, StoreError, page_len, slot_len};
use lowrank::{Adapter, MatRef, Scale};
use lowrank_embedded_storage::Driver;

/// A RAM that is as strict as the documentation of the traits.
struct Ram<const READ: usize, const WRITE: usize, const ERASE: usize> {
    bytes: Vec<u8>,
    calls: u32,
    /// The call that fails.
    fails: Option<u32>,
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize> Ram<READ, WRITE, ERASE> {
    fn new(len: usize) -> Self {
        Self { bytes: vec![0; len], calls: 0, fails: None }
    }

    fn call(&mut self) -> Result<(), NorFlashErrorKind> {
        self.calls += 1;
        if self.fails == Some(self.calls) { Err(NorFlashErrorKind::Other) } else { Ok(()) }
    }
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize> ErrorType for Ram<READ, WRITE, ERASE> {
    type Error = NorFlashErrorKind;
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize> ReadNorFlash for Ram<READ, WRITE, ERASE> {
    const READ_SIZE: usize = READ;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        self.call()?;
        bytes.copy_from_slice(&self.bytes[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize> NorFlash for Ram<READ, WRITE, ERASE> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        self.call()?;
        self.bytes[from as usize..to as usize].fill(0xff);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        self.call()?;
        let at = &mut self.bytes[offset as usize..][..bytes.len()];
        assert!(at.iter().all(|&byte| byte == 0xff), "{} bytes written twice at {offset}", bytes.len());
        at.copy_from_slice(bytes);
        Ok(())
    }
}

const LONGEST: usize = 400;

fn with_contents<T>(number: u8, with: impl FnOnce(&Contents<'_>) -> T) -> T {
    let numbers: Vec<f32> = (0..40).map(|i| f32::from(number) + i as f32).collect();
    let (a, b) = numbers.split_at(16);
    let adapter =
        Adapter { a: MatRef::new(a, 2, 8).unwrap(), b: MatRef::new(b, 12, 2).unwrap(), bias: None, scale: 4.0 };
    let entry = Entry { scale: Scale::Alpha(8.0), ..Entry::of("fc1", &adapter) };
    with(&Contents { entries: &[entry], metadata: "", fingerprint: number.into(), generation: 0 })
}

fn round_trips<const READ: usize, const WRITE: usize, const ERASE: usize>() {
    type Flash<const READ: usize, const WRITE: usize, const ERASE: usize> = Driver<Ram<READ, WRITE, ERASE>>;
    let slot = slot_len::<Flash<READ, WRITE, ERASE>>(LONGEST).unwrap();
    let mut page = vec![0; page_len::<Flash<READ, WRITE, ERASE>>()];
    let slots = [0..slot as u32, slot as u32..2 * slot as u32];
    let mut store = Store::new(Driver(Ram::<READ, WRITE, ERASE>::new(2 * slot)), slots, &mut page).unwrap();
    let mut memory = [0; LONGEST];
    assert!(store.load(&mut memory).unwrap().is_none());
    for number in 1..5 {
        let stored = with_contents(number, |contents| store.save(contents)).unwrap();
        let len = {
            let file = store.load(&mut memory).unwrap().unwrap();
            assert_eq!((file.fingerprint(), file.generation()), (number.into(), stored.generation));
            assert_eq!(file.find("fc1").unwrap().shape(), lowrank::Shape::new(8, 12, 2));
            stored.len
        };
        let mut expected = [0; LONGEST];
        let emitted = with_contents(number, |contents| {
            Contents { generation: stored.generation, ..*contents }.emit(&mut expected).unwrap()
        });
        assert_eq!(memory[..len], expected[..emitted]);
    }
    let Driver(ram) = store.into_flash();
    assert!(ram.calls > 0);
}

#[test]
fn files_go_through() {
    round_trips::<1, 1, 1>();
    round_trips::<1, 4, 4096>();
    round_trips::<4, 4, 256>();
    round_trips::<16, 8, 2048>();
    round_trips::<8, 32, 1024>();
    round_trips::<1, 256, 4096>();
}

#[test]
fn errors_come_back() {
    let mut page = [0; 128];
    let mut failed = 0;
    let mut ram = Ram::<4, 8, 1024>::new(2048);
    let mut save = |fails: Option<u32>, page: &mut [u8]| {
        (ram.calls, ram.fails) = (0, fails);
        let mut store = Store::new(Driver(&mut ram), [0..1024, 1024..2048], page).unwrap();
        with_contents(1, |contents| store.save(contents)).map(drop)
    };
    save(None, &mut page).unwrap();
    while let Err(error) = save(Some(failed + 1), &mut page) {
        assert!(matches!(error, StoreError::Flash { error: NorFlashErrorKind::Other, .. }), "{error}");
        failed += 1;
    }
    assert!(failed >= 40, "{failed}");
    assert_eq!(Driver(ram).capacity(), 2048);
}

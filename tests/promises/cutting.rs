//! A cutter hands out the pieces of a buffer one behind the other, without a gap; a piece that does not fit takes nothing away.

use crate::support::{Rng, report};
use lowrank::arena::{Cutter, Piece, total};
use lowrank::{Argument, Error, MatMut};

fn length(expected: usize, got: usize) -> Error {
    Error::Length { argument: Argument::Arena, expected, got }
}

/// The elements of a matrix, row by row.
fn elements(matrix: &MatMut<'_>) -> Vec<f32> {
    (0..matrix.rows()).flat_map(|i| matrix.row(i).to_vec()).collect()
}

#[test]
fn pieces_lie_behind_each_other() {
    let (rng, mut count) = (&mut Rng(3), 0);
    for _ in 0..1000 {
        let pieces: [Piece; 5] = std::array::from_fn(|_| (rng.below(5), rng.below(5)));
        let len = total(&pieces).unwrap();
        let mut buffer: Vec<f32> = (0..len).map(|i| i as f32).collect();
        let numbers = buffer.clone();
        let mut cutter = Cutter::new(&mut buffer);
        let (mut at, mut cut) = (0, Vec::new());
        for piece in pieces {
            let left = cutter.left();
            assert_eq!(left, len - at);
            let longer = (1, left + 1 + rng.below(3));
            assert_eq!(cutter.matrix(longer).map(drop), Err(length(longer.1, left)), "{pieces:?}");
            assert_eq!(cutter.slice(longer.1), Err(length(longer.1, left)), "{pieces:?}");
            assert_eq!(cutter.matrix((usize::MAX, 2)).map(drop), Err(Error::Overflow { argument: Argument::Arena }));
            let expected = &numbers[at..at + piece.0 * piece.1];
            at += expected.len();
            if rng.below(2) == 0 {
                let matrix = cutter.matrix(piece).unwrap();
                assert_eq!((matrix.rows(), matrix.cols()), piece, "{pieces:?}");
                assert_eq!(elements(&matrix), expected, "{pieces:?}");
                cut.push(matrix);
            } else {
                let slice = cutter.slice(expected.len()).unwrap();
                assert_eq!(slice, expected, "{pieces:?}");
                cut.push(MatMut::from_row(slice));
            }
            count += 1;
        }
        assert_eq!(cutter.end(), Ok(()));
        // All of them can be written at once, and nothing lies beside them.
        for matrix in &mut cut {
            (0..matrix.rows()).for_each(|i| matrix.row_mut(i).iter_mut().for_each(|value| *value += 0.5));
        }
        assert!(buffer.iter().zip(numbers).all(|(now, before)| *now == before + 0.5), "{pieces:?}");
    }
    report("cutting", "pieces", count, "where they have to be", 5000);
}

#[test]
fn a_rest_is_told() {
    for len in [1, 2, 7] {
        let mut buffer = [0.0; 9];
        let mut cutter = Cutter::new(&mut buffer);
        cutter.slice(9 - len).unwrap();
        assert_eq!(cutter.end(), Err(length(0, len)));
    }
}

//! Prints the sizes and offsets of every struct as assertions in C: compiled against the header, they tell whether both
//! sides agree.

use core::mem::offset_of;

use lowrank_abi::*;

macro_rules! layouts {
    ($($name:ident { $($field:ident)* })*) => {
        $({
            // A field that is not listed, or listed and not there, is an error of this build.
            let _ = |it: $name| {
                let $name { $($field: _),* } = it;
            };
            println!("LAYOUT(sizeof({0}) == {1}, layout_{0}_size);", stringify!($name), size_of::<$name>());
            $(
                println!(
                    "LAYOUT(offsetof({0}, {1}) == {2} && sizeof((({0} *)0)->{1}) == {3}, layout_{0}_{1});",
                    stringify!($name),
                    stringify!($field),
                    offset_of!($name, $field),
                    size_of_field(|it: &$name| it.$field)
                );
            )*
        })*
    };
}

fn size_of_field<T, F>(_: impl Fn(&T) -> F) -> usize {
    size_of::<F>()
}

fn main() {
    println!("/* Made by bindings/abi/examples/layout.rs. */");
    println!("#include \"lowrank.h\"");
    println!("#define LAYOUT(condition, name) extern char name[(condition) ? 1 : -1]");
    layouts! {
        lowrank_error { size status argument expected got index flaw at_least at_most value }
        lowrank_matrix { size data rows cols stride }
        lowrank_matrix_mut { size data rows cols stride }
        lowrank_code { function inverse }
        lowrank_base { size weights outputs inputs stride panel_width panels bias }
        lowrank_adapter { size a b bias scale }
        lowrank_adapter_mut { size a b bias scale }
        lowrank_grads { size a b bias accumulate }
        lowrank_backprop { size x dy dx }
        lowrank_dropout { size probability layer_number step seed first_token }
        lowrank_saved { size memory inputs outputs rank tokens batch progress training dropout dropped masks }
        lowrank_clock { size steps weight1 weight2 }
        lowrank_state { size moments clock }
        lowrank_plan { size inputs outputs rank tokens optimizer trained }
        lowrank_lengths { size arena adapter grads saved state }
        lowrank_work { size adapter grads saved state }
        lowrank_layer {
            size inputs outputs rank tokens optimizer trained backend scale weights bias x y dy dx arena arena_len
            batch progress graded panel_width panels dropout masks dropped clock parts
        }
        lowrank_adamw { size learning_rate b_rate beta1 beta2 epsilon weight_decay }
        lowrank_sgd { size learning_rate b_rate momentum dampening weight_decay nesterov }
        lowrank_in_place { size learning_rate b_rate max_norm }
        lowrank_mean_loss { size tokens seen sum }
        lowrank_schedule { size warmup total decay }
        lowrank_rng { size seed stream step }
        lowrank_tensor { size data rows cols dtype }
        lowrank_random_state { size seed step layer_number dropout }
        lowrank_entry {
            size name name_len id scale_mode alpha fan_in_fan_out a b bias b_bias optimizer trained clock moments random
        }
        lowrank_file { size entries metadata metadata_len fingerprint generation }
        lowrank_contents { size entries entries_len metadata metadata_len fingerprint generation room room_len }
        lowrank_flash { size context read erase program capacity erase_size }
        lowrank_store { size flash start end page page_len }
        lowrank_stored { size len at slot generation }
    }
}

//! Any text as `order_by`: it is one of the orders that there are, or an error that names them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pagination::{InvalidArgument, find_order};

const ORDERS: [&str; 4] = ["create_time desc", "create_time", "priority desc, create_time", "name"];

fuzz_target!(|order_by: &str| {
    match find_order(order_by, ORDERS.into_iter()) {
        Ok(place) => {
            let words: String = order_by.split(' ').filter(|word| !word.is_empty()).collect();
            assert!(words.is_empty() && place == 0 || words == ORDERS[place].replace(' ', ""), "{order_by:?}");
        }
        Err(InvalidArgument::Fields(violations)) => assert!(violations[0].description.contains("\"create_time desc\"")),
        Err(InvalidArgument::PageToken(_)) => panic!("it has no token"),
    }
});

//! The time of a page: deep in the list, and with a filter that no index serves. Compared calls alternate, so that
//! other load on the machine affects both alike.

use crate::{
    Result,
    client::{Ask, Client, PAGE},
    measure::Bench,
    report::{Report, Target, thousands},
    timing::{Time, median, milliseconds},
    walk::deepest,
};

const UNMEASURED_CALLS: usize = 50;

impl Bench<'_> {
    pub(super) async fn depth(&self, report: &mut Report) -> Result<()> {
        let depth = deepest(self.rows);
        let mut client = Client::connect(self.server).await?;
        let second = client.full_page("").await?.next;
        let deep = Ask::page(self.walk.token(depth)?);
        let (deep, second) = medians(&mut client, [deep, Ask::page(&second)], 1_500).await?;
        report.ratio(
            &format!("time of a page at depth {} / of page 2, p50", thousands(depth)),
            deep.as_secs_f64() / second.as_secs_f64(),
            Target::AtMost(1.2),
            &format!("{} / {}", milliseconds(deep), milliseconds(second)),
        );
        Ok(())
    }

    pub(super) async fn scanned_filter(&self, report: &mut Report) -> Result<()> {
        let mut client = Client::connect(self.server).await?;
        let mut filtered = Ask { size: PAGE, token: String::new(), tag: Some("nothing-has-this".to_owned()) };
        let page = client.page(filtered.clone()).await?;
        if !page.prompts.is_empty() || page.next.is_empty() {
            return Err("a page without a hit was not an empty page that goes on".into());
        }
        filtered.token = page.next;
        let second = client.full_page("").await?.next;
        let (filtered, second) = medians(&mut client, [filtered, Ask::page(&second)], 300).await?;
        report.ratio(
            "time of a page by a scanned filter without a hit / of page 2, p50",
            filtered.as_secs_f64() / second.as_secs_f64(),
            Target::AtMost(30.0),
            &format!("{} / {}", milliseconds(filtered), milliseconds(second)),
        );
        Ok(())
    }
}

/// The medians of the times of two alternating calls.
async fn medians(client: &mut Client, [first, second]: [Ask; 2], times: usize) -> Result<(Time, Time)> {
    for _ in 0..UNMEASURED_CALLS {
        client.time(&first).await?;
        client.time(&second).await?;
    }
    let (mut of_first, mut of_second) = (Vec::new(), Vec::new());
    for _ in 0..times {
        of_first.push(client.time(&first).await?);
        of_second.push(client.time(&second).await?);
    }
    Ok((median(of_first)?, median(of_second)?))
}

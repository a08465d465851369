//! What the answer to a call may be: what was answered before it began holds for it; what was answered later may hold.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use quire_proto::jobs::v1::{
    GetJobResponse, Job, JobEvent,
    JobStatus::{Processing, Submitted},
};
use tonic::Code;

use super::history::{Answer, Call, History, Known, Span, Workspace};
use crate::support::outcome::{moment, plain, status, without_times};

/// Every kind of answer was given to the writers, and no other.
pub fn check_kinds(workspaces: &[Arc<Workspace>]) {
    let mut kinds = BTreeSet::new();
    for workspace in workspaces {
        for (_, call, answer) in &workspace.history().calls {
            if matches!(call, Call::Get(_) | Call::Count) {
                continue;
            }
            let code = answer.as_ref().err().unwrap_or(&Code::Ok);
            kinds.insert(format!("{} {code:?}", format!("{call:?}").split('(').next().unwrap()));
        }
    }
    let expected = "Append AlreadyExists, Append NotFound, Append Ok, Create AlreadyExists, Create Ok, \
        Delete NotFound, Delete Ok, Retry FailedPrecondition, Retry NotFound, Retry Ok, \
        Skip AlreadyExists, Skip Ok";
    assert_eq!(kinds.into_iter().collect::<Vec<_>>().join(", "), expected);
}

/// Each answer was possible, and all together are.
pub fn check(history: &History) {
    let mut seen: HashMap<&str, &GetJobResponse> = HashMap::new();
    let mut recorded = 0;
    for (span, call, answer) in &history.calls {
        assert!(is_possible(history, *span, call, answer), "{span:?} {call:?}: {answer:?}");
        if let (Call::Get(id), Ok(Answer::Got(got))) = (call, answer) {
            let old = seen.insert(id, got).unwrap_or(got);
            assert!(got == old || is_later(got, old), "{got:?} after {old:?}");
        }
        if let Ok(Answer::Recorded(count)) = answer {
            recorded += count;
        }
    }
    for known in history.jobs.values() {
        assert!(known.made.iter().all(|(_, job)| *job == known.made[0].1), "one id of two jobs: {known:?}");
        let is_once = (0..=1).contains(&(known.new_count as i64 - known.deleted.len() as i64));
        assert!(is_once || known.new_count == 0, "made or deleted twice: {known:?}");
        assert!(known.retried.len() <= 1, "retried twice: {known:?}");
    }
    // The service's own events have no id.
    let sent = history.events.values().flatten().filter(|(_, event)| !event.id.is_empty());
    let sent: BTreeSet<String> = sent.map(|(_, event)| format!("{event:?}")).collect();
    assert_eq!(recorded, sent.len(), "each event is recorded once");
}

fn is_possible(history: &History, span: Span, call: &Call, answer: &Result<Answer, Code>) -> bool {
    let job = |id: &String| history.job(id);
    match (call, answer) {
        (Call::Create(jobs) | Call::Skip(jobs), Ok(Answer::Made(ids))) => {
            let is_new = |id: &String| matches!(call, Call::Skip(_)) || !job(id).exists_during(span);
            let is_made = |(asked, id): (&Job, &String)| (asked.id.is_empty() || asked.id == *id) && is_new(id);
            ids.len() == jobs.len() && jobs.iter().zip(ids).all(is_made)
        }
        (Call::Create(jobs), Err(Code::AlreadyExists)) => jobs.iter().any(|asked| job(&asked.id).may_exist_in(span)),
        (Call::Skip(jobs), Err(Code::AlreadyExists)) => {
            let differs =
                |asked: &Job| job(&asked.id).made.iter().any(|(at, made)| at.begin < span.end && made != asked);
            jobs.iter().any(differs)
        }
        (Call::Delete(id), Ok(_)) => job(id).may_exist_in(span),
        (Call::Delete(id) | Call::Retry(id) | Call::Get(id), Err(Code::NotFound)) => !job(id).exists_during(span),
        (Call::Retry(id), Ok(Answer::Retried(new))) => {
            let asked = Job { id: new.id.clone(), retried_from: id.clone(), ..job(id).made[0].1.clone() };
            job(id).may_exist_in(span)
                && has_ended(&job(id), span) != Some(false)
                && without_times(new.clone()) == asked
        }
        (Call::Retry(id), Err(Code::FailedPrecondition)) => {
            has_ended(&job(id), span) != Some(true) || job(id).retried.iter().any(|(at, _)| at.begin < span.end)
        }
        (Call::Append(events), answer) => can_append(history, span, events, answer),
        (Call::Get(id), Ok(Answer::Got(got))) => {
            let is_known = job(id).exists_during(span) && job(id).is_same_during(span);
            job(id).may_exist_in(span) && is_consistent(got) && (!is_known || plain(got) == job(id).before(span))
        }
        (Call::Count, Ok(Answer::Counted(counts))) => {
            let least = history.jobs.values().filter(|known| known.exists_during(span)).count() as i64;
            let most = history.jobs.values().filter(|known| known.may_exist_in(span)).count() as i64;
            counts.iter().all(|count| (least..=most).contains(count))
        }
        _ => false,
    }
}

/// Whether a job had ended at that time, if that is certain.
fn has_ended(known: &Known, span: Span) -> Option<bool> {
    let is_known = known.exists_during(span) && known.has_same_hosts_during(span);
    is_known.then(|| known.before(span).job.unwrap().end_time.is_some())
}

fn can_append(history: &History, span: Span, events: &[JobEvent], answer: &Result<Answer, Code>) -> bool {
    let by_id: BTreeMap<&str, &JobEvent> = events.iter().map(|event| (event.id.as_str(), event)).collect();
    let is_contradictory = events.iter().any(|event| by_id[event.id.as_str()] != event);
    let recorded = |event: &JobEvent, is: &dyn Fn(Span, &JobEvent) -> bool| {
        history.events.get(&event.id).is_some_and(|calls| calls.iter().any(|(at, other)| is(*at, other)))
    };
    let deleted = |id: &String| history.job(id).deleted.iter().any(|at| at.begin < span.end);
    match answer {
        Ok(Answer::Recorded(count)) => {
            let can_be = |event: &&JobEvent| {
                let is_in_the_way = |at: Span, other: &JobEvent| {
                    at.is_before(span) && other != *event && (other.job_id == event.job_id || !deleted(&other.job_id))
                };
                history.job(&event.job_id).may_exist_in(span) && !recorded(event, &is_in_the_way)
            };
            let is_old = |event: &&&JobEvent| recorded(event, &|at, other| at.is_before(span) && other == **event);
            let may_be_old = |event: &&&JobEvent| {
                recorded(event, &|at, other| at != span && at.begin < span.end && other == **event)
            };
            let new = by_id.len() - by_id.values().filter(may_be_old).count()
                ..=by_id.len() - by_id.values().filter(is_old).count();
            !is_contradictory && by_id.values().all(can_be) && new.contains(count)
        }
        Err(Code::AlreadyExists) => {
            let is_contradicted =
                |event: &JobEvent| recorded(event, &|at, other| at.begin < span.end && other != event);
            is_contradictory || events.iter().any(is_contradicted)
        }
        Err(Code::NotFound) => {
            !is_contradictory && events.iter().any(|event| !history.job(&event.job_id).exists_during(span))
        }
        _ => false,
    }
}

/// Whether a job is as its hosts in the same answer are.
fn is_consistent(GetJobResponse { job, hosts }: &GetJobResponse) -> bool {
    let job = job.as_ref().unwrap();
    let is_over = ![Submitted, Processing].contains(&job.status());
    let end_time = hosts.iter().map(|host| moment(host.end_time)).max().flatten();
    job.status() == status(hosts)
        && moment(job.create_time).is_some_and(|time| Some(time) <= moment(job.update_time))
        && moment(job.start_time) == hosts.iter().filter_map(|host| moment(host.start_time)).min()
        && moment(job.end_time) == end_time.filter(|_| is_over)
        && (hosts.is_empty() || is_over == hosts.iter().all(|host| host.end_time.is_some()))
}

/// Whether a job has changed since it was so, and says so.
fn is_later(new: &GetJobResponse, old: &GetJobResponse) -> bool {
    let [new, old] = [new, old].map(|got| got.job.as_ref().unwrap());
    new.etag != old.etag && moment(new.update_time) > moment(old.update_time)
}

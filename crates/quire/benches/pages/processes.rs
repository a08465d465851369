//! CPU time and memory of other processes, from `/proc`.

use std::{fs, time::Duration};

use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        time::TimeVal,
    },
    unistd::{SysconfVar, sysconf},
};

use crate::Result;

/// The CPU time of a process, in ticks of 10 ms.
struct Usage {
    parent: u32,
    /// User and system time of all its threads.
    own: u64,
    /// The same of its children that have ended.
    ended_children: u64,
}

impl Usage {
    fn of(process: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The text before it is the process id and, in parentheses, the name, which can contain any character.
        let (_, fields) = stat.rsplit_once(')').ok_or("/proc/…/stat has another form")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // According to proc(5), the state, which comes first here, is field 3.
        let field = |number: usize| -> Result<u64> {
            Ok(fields.get(number - 3).ok_or("/proc/…/stat has fewer fields")?.parse()?)
        };
        Ok(Self {
            parent: field(4)?.try_into()?,
            own: field(14)? + field(15)?,
            ended_children: field(16)? + field(17)?,
        })
    }
}

/// The CPU time that a process has used.
pub(crate) fn cpu_time(process: u32) -> Result<Duration> {
    ticks(Usage::of(process)?.own)
}

/// The CPU time that a process and its children have used, including children that have ended.
pub(crate) fn cpu_time_with_children(parent: u32) -> Result<Duration> {
    let usage = Usage::of(parent)?;
    let mut sum = usage.own + usage.ended_children;
    for entry in fs::read_dir("/proc")? {
        let Some(process) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process can end before it is read.
        if let Ok(usage) = Usage::of(process)
            && usage.parent == parent
        {
            sum += usage.own;
        }
    }
    ticks(sum)
}

/// The CPU time of those children of this process that have ended and were waited for.
pub(crate) fn cpu_time_of_own_children() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let duration = |time: TimeVal| -> Result<Duration> {
        Ok(Duration::from_secs(time.tv_sec().try_into()?) + Duration::from_micros(time.tv_usec().try_into()?))
    };
    Ok(duration(usage.user_time())? + duration(usage.system_time())?)
}

fn ticks(ticks: u64) -> Result<Duration> {
    let per_second = sysconf(SysconfVar::CLK_TCK)?.ok_or("the length of a tick is not known")?;
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// Waits until a process and its children are almost idle, so that children that were about to end have ended.
pub(crate) async fn settle(parent: u32) -> Result<()> {
    let mut before = cpu_time_with_children(parent)?;
    for _ in 0..300 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = cpu_time_with_children(parent)?;
        if now.saturating_sub(before) <= Duration::from_millis(10) {
            return Ok(());
        }
        before = now;
    }
    Err("Postgres has not come to rest in a minute".into())
}

/// The memory of a process, in KiB: `VmRSS` is resident now, and `VmHWM` is the maximum so far.
pub(crate) fn memory(process: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let value = value.and_then(|value| value.trim().strip_suffix(" kB"));
    Ok(value.ok_or("/proc/…/status has another form")?.parse()?)
}

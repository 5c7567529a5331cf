//! The judge: what each event says of its act, compared with the script.

use catalogue::fields::{
    cgroup_mkdir, cgroup_rmdir, commit_creds, existing_process, memfd_create, net_packet_dns_request,
    net_tcp_state, sched_process_exec, sched_process_exit, sched_process_fork, security_file_open,
    security_inode_create, security_inode_rename, security_inode_unlink, security_socket_connect, setresgid,
    socket_accept,
};
use event::{Event, SockAddr, Value};

use super::children::Child;
use super::same::{
    act_of_address, bytes, child_of, from_localhost, lossy, number, same_bytes, same_number, same_task,
};
use super::{Checker, Trace, Verdict, torn};
use crate::script::{self, Kind, Which};
use crate::worker;

impl Checker {
    /// Whether everything in the event is as it has to be; an event of a stranger is.
    pub(super) fn judge(&mut self, event: &Event<'_>) -> Verdict {
        match event.definition.id {
            existing_process::EVENT_ID => {
                if let Some(worker) = self.by_pid.get(&event.header.pid).and_then(|w| self.workers.get_mut(w))
                {
                    worker.header = Some(event.header);
                }
                Ok(())
            }
            security_file_open::EVENT_ID => self.open(event),
            security_inode_create::EVENT_ID => self.create(event),
            security_inode_rename::EVENT_ID => self.rename(event),
            security_inode_unlink::EVENT_ID => self.unlink(event),
            memfd_create::EVENT_ID => self.memfd(event),
            setresgid::EVENT_ID => self.setresgid(event),
            commit_creds::EVENT_ID => self.commit_creds(event),
            sched_process_fork::EVENT_ID => self.fork(event),
            sched_process_exec::EVENT_ID => self.exec(event),
            sched_process_exit::EVENT_ID => self.exit(event),
            security_socket_connect::EVENT_ID => self.connect(event),
            socket_accept::EVENT_ID => self.accept(event),
            net_tcp_state::EVENT_ID => self.tcp_state(event),
            net_packet_dns_request::EVENT_ID => self.dns(event),
            cgroup_mkdir::EVENT_ID => self.cgroup(event, cgroup_mkdir::CGROUP_PATH, Trace::CgroupMkdir),
            cgroup_rmdir::EVENT_ID => self.cgroup(event, cgroup_rmdir::CGROUP_PATH, Trace::CgroupRmdir),
            _ => Ok(()),
        }
    }

    /// Worker and act of a path in the workers' folder.
    fn act_of_path(&self, which: Which, path: &[u8]) -> Option<(u8, u32)> {
        script::parse(which, path.strip_prefix(self.dir.as_bytes())?.strip_prefix(b"/")?)
    }

    fn open(&mut self, event: &Event<'_>) -> Verdict {
        use security_file_open::{FLAGS, MODE, PATHNAME, SYSCALL_PATHNAME};
        let path = bytes(event, PATHNAME);
        if path == worker::program(&self.dir).as_os_str().as_encoded_bytes() {
            // The kernel opens the program that an act executes. That an act says so, its execution is told by.
            return Ok(());
        }
        let Some((worker, act)) = self.act_of_path(Which::First, path) else {
            return self.unrecognised(event);
        };
        let [first, _] = worker::paths(&self.dir, worker, act);
        same_bytes(event, PATHNAME, first.as_bytes())?;
        same_bytes(event, SYSCALL_PATHNAME, first.as_bytes())?;
        same_number(event, FLAGS, |n| n as i32 & script::OPEN_FLAGS, script::open_flags(worker, act))?;
        same_number(event, MODE, |n| n as u32, libc::S_IFREG | script::permissions(worker, act))?;
        self.settle(event, worker, act, Trace::Open)
    }

    fn create(&mut self, event: &Event<'_>) -> Verdict {
        use security_inode_create::{MODE, PATHNAME};
        let path = bytes(event, PATHNAME);
        let Some((worker, act)) = self.act_of_path(Which::First, path) else {
            return self.unrecognised(event);
        };
        let [first, _] = worker::paths(&self.dir, worker, act);
        same_bytes(event, PATHNAME, first.as_bytes())?;
        same_number(event, MODE, |n| n as u32, libc::S_IFREG | script::permissions(worker, act))?;
        self.settle(event, worker, act, Trace::Create)
    }

    fn rename(&mut self, event: &Event<'_>) -> Verdict {
        use security_inode_rename::{FLAGS, NEW_PATH, OLD_PATH};
        let path = bytes(event, OLD_PATH);
        let Some((worker, act)) = self.act_of_path(Which::First, path) else {
            return self.unrecognised(event);
        };
        let [first, second] = worker::paths(&self.dir, worker, act);
        same_bytes(event, OLD_PATH, first.as_bytes())?;
        same_bytes(event, NEW_PATH, second.as_bytes())?;
        same_number(event, FLAGS, |n| n as u32, 0)?;
        self.settle(event, worker, act, Trace::Rename)
    }

    fn unlink(&mut self, event: &Event<'_>) -> Verdict {
        use security_inode_unlink::PATHNAME;
        let path = bytes(event, PATHNAME);
        let Some((worker, act)) = self.act_of_path(Which::Second, path) else {
            return self.unrecognised(event);
        };
        let [_, second] = worker::paths(&self.dir, worker, act);
        same_bytes(event, PATHNAME, second.as_bytes())?;
        self.settle(event, worker, act, Trace::Unlink)
    }

    fn memfd(&mut self, event: &Event<'_>) -> Verdict {
        use memfd_create::{FLAGS, NAME};
        let name = bytes(event, NAME);
        let Some((worker, act)) = script::parse(Which::First, name) else { return self.unrecognised(event) };
        same_bytes(event, NAME, script::marker(Which::First, worker, act, script::NAME).as_bytes())?;
        same_number(event, FLAGS, |n| n as u32, script::memfd_flags(worker, act))?;
        self.settle(event, worker, act, Trace::Memfd)
    }

    /// Worker and act of a saved group; only workers of [`Kind::Creds`] have any.
    fn act_of_group(&self, group: u32) -> Option<(u8, u32)> {
        let (worker, act) = ((group >> 24) as u8, group & 0xff_ffff);
        self.workers.get(&worker).filter(|w| w.part.kind == Kind::Creds).map(|_| (worker, act))
    }

    fn setresgid(&mut self, event: &Event<'_>) -> Verdict {
        use setresgid::{EGID, RGID, SGID};
        let group = number(event, SGID).unwrap_or(0) as u32;
        let Some((worker, act)) = self.act_of_group(group) else { return self.unrecognised(event) };
        same_number(event, RGID, |n| n as u32, u32::MAX)?;
        same_number(event, EGID, |n| n as u32, u32::MAX)?;
        if event.header.ret != Some(0) {
            return Err(torn(format!("returned {:?}", event.header.ret)));
        }
        self.settle(event, worker, act, Trace::Setresgid)
    }

    fn commit_creds(&mut self, event: &Event<'_>) -> Verdict {
        use commit_creds::{NEW_CRED, OLD_CRED};
        let cred = |field| match event.field(field).value {
            Some(Value::Cred(cred)) => Some(cred),
            _ => None,
        };
        let (Some(old), Some(new)) = (cred(OLD_CRED), cred(NEW_CRED)) else {
            return self.unrecognised(event);
        };
        let Some((worker, act)) = self.act_of_group(new.sgid) else { return self.unrecognised(event) };
        let was = act.checked_sub(1).map_or(old.gid, |before| script::group(worker, before));
        if old.sgid != was || (event::Cred { sgid: old.sgid, ..new }) != old {
            return Err(torn(format!("from {old:?} to {new:?}")));
        }
        self.settle(event, worker, act, Trace::CommitCreds)
    }

    fn fork(&mut self, event: &Event<'_>) -> Verdict {
        use sched_process_fork::{
            CHILD_PID, CHILD_TID, CLONE_THREAD, PARENT_PID, PARENT_TID, START_TIME, UP_PID,
        };
        let header = &event.header;
        let Some(worker) = self.by_pid.get(&header.pid).and_then(|w| self.workers.get_mut(w)) else {
            return Ok(());
        };
        if !matches!(worker.part.kind, Kind::Exec | Kind::Forks) {
            return self.unrecognised(event);
        }
        let pid = number(event, CHILD_PID).unwrap_or(0);
        for (field, value) in [
            (CHILD_TID, pid),
            (PARENT_PID, worker.pid.into()),
            (PARENT_TID, worker.pid.into()),
            (UP_PID, worker.pid.into()),
        ] {
            same_number(event, field, |n| n, value)?;
        }
        same_number(event, CLONE_THREAD, |n| n, 0)?;
        same_task(worker, event, worker.pid)?;
        worker.children.push(Child {
            trace: Trace::Fork,
            time: header.time,
            pid: pid as u32,
            start_time: number(event, START_TIME).unwrap_or(0),
            code: 0,
            signal: 0,
            act: None,
            program: (header.lane, header.probe),
        });
        Ok(())
    }

    fn exec(&mut self, event: &Event<'_>) -> Verdict {
        use sched_process_exec::{ARGV, CMDPATH, PATHNAME};
        let Some(Value::StrArray(arguments)) = event.field(ARGV).value else {
            return self.unrecognised(event);
        };
        let first = arguments.into_iter().next().unwrap_or_default();
        let Some((worker, act)) = script::parse(Which::First, first) else { return self.unrecognised(event) };
        if !arguments.eq(script::arguments(worker, act).iter().map(|a| a.as_bytes())) {
            return Err(torn(format!("arguments {}", lossy(arguments.raw()))));
        }
        let program = worker::program(&self.dir);
        same_bytes(event, CMDPATH, program.as_os_str().as_encoded_bytes())?;
        same_bytes(event, PATHNAME, program.as_os_str().as_encoded_bytes())?;
        let Some(of) = self.workers.get_mut(&worker) else {
            return Err(torn(format!("there is no worker {worker}")));
        };
        child_of(of, event, &[script::PROGRAM])?;
        of.children.push(Child::of(event, Trace::Exec, Some(act)));
        Ok(())
    }

    fn exit(&mut self, event: &Event<'_>) -> Verdict {
        use sched_process_exit::{EXIT_CODE, PROCESS_GROUP_EXIT, SIGNAL_CODE};
        let Some(of) = self.by_pid.get(&event.header.ppid).and_then(|w| self.workers.get_mut(w)) else {
            return self.unrecognised(event);
        };
        let comm = of.part.comm();
        child_of(of, event, &[&comm, script::PROGRAM])?;
        same_number(event, PROCESS_GROUP_EXIT, |n| n, 1)?;
        let code = number(event, EXIT_CODE).unwrap_or(u64::MAX) as u32;
        let signal = number(event, SIGNAL_CODE).unwrap_or(u64::MAX) as u32;
        of.children.push(Child { code, signal, ..Child::of(event, Trace::Exit, None) });
        Ok(())
    }

    fn connect(&mut self, event: &Event<'_>) -> Verdict {
        use security_socket_connect::{REMOTE_ADDR, TYPE};
        let Some((worker, act)) = act_of_address(event, REMOTE_ADDR) else { return self.unrecognised(event) };
        same_number(event, TYPE, |n| n as i32, libc::SOCK_STREAM)?;
        self.settle(event, worker, act, Trace::Connect)
    }

    fn accept(&mut self, event: &Event<'_>) -> Verdict {
        use socket_accept::{LOCAL_ADDR, REMOTE_ADDR};
        let Some((worker, act)) = act_of_address(event, LOCAL_ADDR) else { return self.unrecognised(event) };
        from_localhost(event, REMOTE_ADDR)?;
        self.settle(event, worker, act, Trace::Accept)
    }

    fn tcp_state(&mut self, event: &Event<'_>) -> Verdict {
        use net_tcp_state::{LOCAL_ADDR, NEW_STATE, OLD_STATE, REMOTE_ADDR};
        const ESTABLISHED: u64 = 1;
        const SYN_SENT: u64 = 2;
        const SYN_RECEIVED: u64 = 3;
        const CLOSE: u64 = 7;
        let states = number(event, OLD_STATE).zip(number(event, NEW_STATE));
        if let Some((worker, act)) = act_of_address(event, REMOTE_ADDR) {
            // Before it has a port its address is none.
            let trace = match states {
                Some((CLOSE, SYN_SENT)) => Trace::SynSent,
                Some((SYN_SENT, ESTABLISHED)) => Trace::Established,
                Some((ESTABLISHED, CLOSE)) => Trace::Closed,
                _ => return Err(torn(format!("states {states:?}"))),
            };
            if trace != Trace::SynSent {
                from_localhost(event, LOCAL_ADDR)?;
            }
            return self.settle(event, worker, act, trace);
        }
        if let Some((worker, act)) = act_of_address(event, LOCAL_ADDR) {
            from_localhost(event, REMOTE_ADDR)?;
            // How the accepted end closes depends on which of the two is faster.
            return match states {
                Some((SYN_RECEIVED, ESTABLISHED)) => self.settle(event, worker, act, Trace::Incoming),
                Some((old, new)) if old < 12 && new < 12 => Ok(()),
                _ => Err(torn(format!("states {states:?}"))),
            };
        }
        match event.field(LOCAL_ADDR).value {
            // The listening socket itself.
            Some(Value::Sockaddr(SockAddr::Inet { addr, .. })) if addr.is_unspecified() => Ok(()),
            _ => self.unrecognised(event),
        }
    }

    fn dns(&mut self, event: &Event<'_>) -> Verdict {
        use net_packet_dns_request::{DNS_QUESTIONS, METADATA};
        let (Some(Value::Dns(message)), Some(Value::Packet(packet))) =
            (event.field(DNS_QUESTIONS).value, event.field(METADATA).value)
        else {
            return self.unrecognised(event);
        };
        // Head, length of the first label, label.
        let marker = message.raw().get(13..).and_then(|m| script::parse(Which::First, m));
        let Some((worker, act)) = marker else { return self.unrecognised(event) };
        let question = script::question(worker, act);
        if message.raw() != question {
            return Err(torn(format!("question {}", lossy(message.raw()))));
        }
        let to = script::dns_address(worker);
        let headers = 20 + 8;
        if packet.dst != *to.ip()
            || packet.dst_port != to.port()
            || packet.length as usize != headers + question.len()
            || !packet.src.is_loopback()
        {
            return Err(torn(format!("{packet:?}")));
        }
        let trace = match packet.direction {
            event::Direction::Egress => Trace::DnsEgress,
            event::Direction::Ingress => Trace::DnsIngress,
        };
        self.settle(event, worker, act, trace)
    }

    fn cgroup(&mut self, event: &Event<'_>, field: usize, trace: Trace) -> Verdict {
        let path = bytes(event, field);
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        let Some((worker, act)) = script::parse(Which::First, name) else { return self.unrecognised(event) };
        let marker = script::marker(Which::First, worker, act, script::NAME);
        if !path.ends_with(format!("/{marker}").as_bytes()) {
            return Err(torn(format!("path {}", lossy(path))));
        }
        self.settle(event, worker, act, trace)
    }
}

//! Simulates kernels with missing features: seccomp makes system calls of a program fail.

use std::io::Error;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// System call, its first argument if only calls with that argument fail, and the error.
type Refused = (libc::c_long, Option<libc::c_int>, libc::c_int);

/// Simulates a kernel without IPv6 (`ipv6.disable=1`).
pub fn without_ipv6(program: &mut Command) {
    refuse(program, (libc::SYS_socket, Some(libc::AF_INET6), libc::EAFNOSUPPORT));
}

/// Simulates a file system without hard links, such as FAT.
pub fn without_links(program: &mut Command) {
    refuse(program, (libc::SYS_linkat, None, libc::EPERM));
}

fn refuse(program: &mut Command, (call, argument, error): Refused) {
    const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS, at an offset in struct seccomp_data
    const IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06;
    const NUMBER: u32 = 0;
    const FIRST_ARGUMENT: u32 = 16;
    let step = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    let mut filter = vec![step(LOAD, 0, NUMBER)];
    match argument {
        Some(argument) => filter.extend([
            step(IF_EQUAL, 3, call as u32),
            step(LOAD, 0, FIRST_ARGUMENT),
            step(IF_EQUAL, 1, argument as u32),
        ]),
        None => filter.push(step(IF_EQUAL, 1, call as u32)),
    }
    filter.push(step(RETURN, 0, libc::SECCOMP_RET_ERRNO | error as u32));
    filter.push(step(RETURN, 0, libc::SECCOMP_RET_ALLOW));
    let install = move || {
        let list = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        // SAFETY: the filter outlives both calls, which only read it.
        let installed = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const list) == 0
        };
        if installed { Ok(()) } else { Err(Error::last_os_error()) }
    };
    // SAFETY: between fork and exec, the closure makes two system calls and neither allocates nor takes a lock.
    unsafe { program.pre_exec(install) };
}

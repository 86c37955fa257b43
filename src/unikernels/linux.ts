// A bare Linux kernel whose only program is init: a guest that is used as a unikernel, and the host of hosted ones. Its words
// are in linux-texts.ts. Seen on Debian's 6.1 (x86-64) in QEMU.

import type { Unikernel } from '../model/unikernel.ts';
import { CRASHES } from './linux-texts.ts';

/** Linux. */
export const linux: Unikernel = {
  name: 'linux',
  title: 'Linux as a unikernel',
  support: {
    levels: ['text'],
    tried: "Debian's 6.1 on QEMU 7.2 (x86-64): texts recorded from runs; older kernels, i386 and arm64 written from its source",
    silent: "Addresses: its frames are names, their places come from vmlinux. A program's own words end with init's exit code.",
  },
  recognise: {
    symbols: ['linux_banner', 'init_task', 'swapper_pg_dir'],
    sections: ['__ksymtab', '.orc_unwind'],
    banner: /^Linux version \d{1,2}\.\d{1,3}\S{0,64} \(/,
  },
  // With CONFIG_PRINTK_CALLER a thread or CPU stands behind the time.
  prefix: /^(?:\[ *\d{1,8}\.\d{6}\])?\[ *[TC]\d{1,7}\] /,
  crashes: CRASHES,
  unwindRules: [],
  deadIn: ['panic', 'panic_smp_self_stop', 'nmi_panic_self_stop', 'native_machine_halt', 'stop_this_cpu'],
  idleIn: [
    'default_idle',
    'native_safe_halt',
    'pv_native_safe_halt',
    'acpi_safe_halt',
    'acpi_idle_do_entry',
    'amd_e400_idle',
    'mwait_idle',
    'cpu_idle_poll',
    'arch_cpu_idle',
  ],
  crashMachinery: [
    /^(?:dump_stack(?:_lvl)?|show_(?:stack|regs|trace_log_lvl)|__?die(?:_body)?|oops_end|oops_begin|no_context|bad_area\w*|page_fault_oops|kernelmode_fixup_or_oops)(?:\.|$)/,
    /^(?:panic|vpanic|nmi_panic|__stack_chk_fail|__warn|warn_slowpath_\w+|report_bug|handle_bug|check_panic_on_warn|do_trap|do_error_trap|do_int3|fixup_exception|BUG_func)(?:\.|$)/,
    /^(?:(?:asm_)?exc_\w+|do_(?:invalid_op|general_protection|page_fault|double_fault|kern_addr_fault|user_addr_fault)|(?:async_)?page_fault|invalid_op|general_protection)(?:\.|$)/,
    /^(?:do_exit|do_group_exit|__x64_sys_exit(?:_group)?|sysrq_handle_crash|out_of_memory|dump_header|oom_kill_process|watchdog_timer_fn|check_hung_\w+)(?:\.|$)/,
    /^__(?:list_(?:add|del_entry)_valid|fortify_panic|slab_error|ubsan_\w+)(?:\.|$)|^(?:fortify_panic|die_kernel_fault|usercopy_abort)(?:\.|$)/,
  ],
  explainExit: () => null,
};

/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The two hooks that every system call passes. */

DISPATCHER(dispatch_enter, enter, cfg_enter_wanted, cfg_enter_handlers)
DISPATCHER(dispatch_exit, exit, cfg_exit_wanted, cfg_exit_handlers)

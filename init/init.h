/* SPDX-License-Identifier: GPL-3.0-or-later */
/* init: the programs in the one binary. Each takes its own argc and argv and returns an exit
 * status: 0; 1 where its page says so; 2 when it was used wrongly or could not begin, and has
 * changed nothing. */
#ifndef LETHE_INIT_INIT_H
#define LETHE_INIT_INIT_H

/* Runs as PID 1 only. It returns in a pid namespace only, and has done nothing then. */
int lethe_shutdown_main(int argc, char **argv);
int lethe_end_main(int argc, char **argv);
int lethe_now_main(int argc, char **argv);
int lethe_watch_main(int argc, char **argv);
int lethe_arm_main(int argc, char **argv);
int lethe_disarm_main(int argc, char **argv);
int lethe_status_main(int argc, char **argv);
int lethe_plan_main(int argc, char **argv);
int lethe_capture_main(int argc, char **argv);

/* Where systemd-shutdown looks for the last program, in the armed tmpfs. */
#define LETHE_ARMED_DIR "/run/initramfs"
#define LETHE_ARMED_PROGRAM LETHE_ARMED_DIR "/shutdown"

/* The program by a name that no other exitrd has. */
#define LETHE_ARMED_COPY LETHE_ARMED_DIR "/lethe"
#define LETHE_ARMED_BRANCHES LETHE_ARMED_DIR "/branches"
/* What the kill switch tells PID 1 (handover.h). */
#define LETHE_ARMED_EMERGENCY LETHE_ARMED_DIR "/emergency"
/* In the armed tmpfs: seconds to wait when all is erased, written by root while the system runs. */
#define LETHE_PAUSE "/pause"
/* What is written here fires the kill switch (helper.h); the process that carries it out holds the
 * lock. */
#define LETHE_ARMED_FIRE LETHE_ARMED_DIR "/fire"
#define LETHE_ARMED_LOCK LETHE_ARMED_DIR "/lock"

#endif

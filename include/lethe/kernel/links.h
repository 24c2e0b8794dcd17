/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * links: secrets of network connections that no process owns.
 *
 * The keys of a WireGuard or MACsec interface live as long as the interface does, those of IPsec as
 * long as its states: taking an interface down frees none of them. The kernel frees and zeroes them
 * when the link is deleted (rtnetlink(7), RTM_DELLINK; wg_destruct(), macsec_free_netdev()) or the
 * states are flushed (linux/xfrm.h, XFRM_MSG_FLUSHSA; RFC 2367, SADB_FLUSH).
 */
#ifndef LETHE_KERNEL_LINKS_H
#define LETHE_KERNEL_LINKS_H

/* Deletes every interface of this network namespace that has no device behind it, and flushes the
 * states and policies of IPsec. */
void lethe_links_delete(void);

/* Counts the interfaces with keys and the states of IPsec that are left; each kind is logged. */
unsigned lethe_links_report(void);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/stop.h"

#include <stdatomic.h>

static atomic_int stop_signal;

void vu_stop_request(int signo)
{
	int none = 0;

	atomic_compare_exchange_strong(&stop_signal, &none, signo);
}

bool vu_stop_requested(void)
{
	return atomic_load_explicit(&stop_signal, memory_order_relaxed) != 0;
}

int vu_stop_signal(void)
{
	return atomic_load(&stop_signal);
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lethe/kernel/kexec.h"
#include "mock_sys.h"

/* On a machine where nothing is loaded, which is what a look finds whatever the call has said. */
static void all_but_what_starts_next_is_unloaded(void **unused)
{
    (void)unused;
    MOCK_EXPECT({MOCK_KEXEC_UNLOAD, .number = true});
    assert_int_equal(lethe_kexec_unload(true), 0);
    mock_finish();
    MOCK_EXPECT({MOCK_KEXEC_UNLOAD, .number = true, .answer = -EPERM},
                {MOCK_KEXEC_UNLOAD, .number = false, .answer = -EPERM});
    assert_int_equal(lethe_kexec_unload(false), 0);
    mock_finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_but_what_starts_next_is_unloaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

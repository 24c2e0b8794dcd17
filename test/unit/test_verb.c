/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lethe/plan/verb.h"

static void each_verb_has_its_name(void **unused)
{
    (void)unused;
    static const char *const words[] = {"poweroff", "reboot", "halt", "kexec", "exit"};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(lethe_verb_parse(words[i]), LETHE_VERB_POWEROFF + i);
        assert_string_equal(lethe_verb_name(lethe_verb_parse(words[i])), words[i]);
    }
}

static void other_words_are_no_verbs(void **unused)
{
    (void)unused;
    static const char *const words[] = {"",          "none",   "Poweroff",   "power",
                                        "poweroff ", "--help", "soft-reboot"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_int_equal(lethe_verb_parse(words[i]), LETHE_VERB_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_verb_has_its_name),
        cmocka_unit_test(other_words_are_no_verbs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

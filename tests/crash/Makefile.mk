# power cuts at every point, on the recorder
check_PROGRAMS += tests/crash/test_crash_frame
TESTS += tests/crash/test_crash_frame

tests_crash_test_crash_frame_SOURCES = tests/crash/test_crash_frame.c lib/pm/pm_record.c
tests_crash_test_crash_frame_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_crash_test_crash_frame_LDADD = libpmio_view.la $(CMOCKA_LIBS)

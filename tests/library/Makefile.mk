# what is tested with each library over MPI_File_*; tests/mpich, tests/openmpi and tests/abi run it
EXTRA_DIST += tests/library/library.sh tests/library/programs.sh tests/library/scripts.sh tests/library/library.f90 tests/library/datarep.f90 tests/library/handles.c

! library.f90 -- writes and reads a file by Fortran: with -DF08 by mpi_f08, with -DMODULE by the module mpi, else by mpif.h
program library
#ifdef F08
	use mpi_f08
	implicit none
	type(MPI_File) :: fh
	type(MPI_Status) :: status
#else
#ifdef MODULE
	use mpi
	implicit none
#else
	implicit none
	include 'mpif.h'
#endif
	integer :: fh, status(MPI_STATUS_SIZE)
#endif
	integer :: ierr, me, np, ints(100), got(100), i, count
	integer(kind=MPI_OFFSET_KIND) :: at, bytes
	character(len=1000) :: name

	call MPI_Init(ierr)
	call MPI_Comm_rank(MPI_COMM_WORLD, me, ierr)
	call MPI_Comm_size(MPI_COMM_WORLD, np, ierr)
	call get_command_argument(1, name)
	ints = [(1000 * me + i, i = 1, 100)]
	call MPI_File_open(MPI_COMM_WORLD, trim(name), MPI_MODE_RDWR + MPI_MODE_CREATE, MPI_INFO_NULL, fh, ierr)
	if (ierr /= MPI_SUCCESS) call MPI_Abort(MPI_COMM_WORLD, 2, ierr)
	at = 400 * me
	call MPI_File_write_at_all(fh, at, ints, 100, MPI_INTEGER, status, ierr)
	if (ierr /= MPI_SUCCESS) call MPI_Abort(MPI_COMM_WORLD, 3, ierr)
	call MPI_Barrier(MPI_COMM_WORLD, ierr) ! ompio of 4.1 lets a collective read pass another rank's write
	at = 400 * mod(me + 1, np)
	call MPI_File_read_at_all(fh, at, got, 100, MPI_INTEGER, status, ierr)
	call MPI_Get_count(status, MPI_INTEGER, count, ierr)
	if (count /= 100 .or. got(100) /= 1000 * mod(me + 1, np) + 100) call MPI_Abort(MPI_COMM_WORLD, 4, ierr)
	call MPI_File_get_size(fh, bytes, ierr)
	if (bytes /= 400 * np) call MPI_Abort(MPI_COMM_WORLD, 5, ierr)
	call MPI_File_close(fh, ierr)
	if (ierr /= MPI_SUCCESS) call MPI_Abort(MPI_COMM_WORLD, 6, ierr)
	call MPI_Finalize(ierr)
end program

! datarep.f90 -- a representation with functions in Fortran: integers whose bytes are turned round in the file
! built with -DF08 for mpi_f08, with -DMODULE for the module mpi, else for mpif.h; -DOPENMPI: for that MPI
!
! MPICH 4.0.2's module mpi lacks MPI_CONVERSION_FN_NULL, and Open MPI 4.1.4 does not know that of its mpi_f08.
#if defined(MODULE) || (defined(F08) && defined(OPENMPI))
#define NO_NULL
#endif
module turned
#ifdef F08
	use mpi_f08
#define TYPE_OF_TYPES type(MPI_Datatype)
#define BUFFERS type(c_ptr), value
#define AT(buffer) buffer
#else
#ifdef MODULE
	use mpi
#endif
#define TYPE_OF_TYPES integer
#define BUFFERS integer, target, dimension(*)
#define AT(buffer) c_loc(buffer)
#endif
	use iso_c_binding
	implicit none
#if !defined(F08) && !defined(MODULE)
	include 'mpif.h'
#endif
	integer :: calls = 0
contains
	integer function turn(i)
		integer, intent(in) :: i
		integer :: b
		turn = 0
		do b = 0, 3
			turn = ior(turn, ishft(iand(ishft(i, -8 * b), 255), 24 - 8 * b))
		end do
	end function

	! n integers, turned round
	subroutine copy(from, first, to, place, n)
		type(c_ptr), value :: from, to
		integer(kind=MPI_OFFSET_KIND) :: first, place
		integer :: n, i
		integer, pointer :: a(:), b(:)
		call c_f_pointer(from, a, [first + n])
		call c_f_pointer(to, b, [place + n])
		do i = 1, n
			b(place + i) = turn(a(first + i))
		end do
	end subroutine

	subroutine get(userbuf, datatype, count, filebuf, position, extra_state, ierror)
		BUFFERS :: userbuf, filebuf
		TYPE_OF_TYPES :: datatype
		integer :: count, ierror
		integer(kind=MPI_OFFSET_KIND) :: position
		integer(kind=MPI_ADDRESS_KIND) :: extra_state
		call copy(AT(filebuf), 0_MPI_OFFSET_KIND, AT(userbuf), position, count)
		call check(datatype, extra_state, ierror)
	end subroutine

	subroutine put(userbuf, datatype, count, filebuf, position, extra_state, ierror)
		BUFFERS :: userbuf, filebuf
		TYPE_OF_TYPES :: datatype
		integer :: count, ierror
		integer(kind=MPI_OFFSET_KIND) :: position
		integer(kind=MPI_ADDRESS_KIND) :: extra_state
		call copy(AT(userbuf), position, AT(filebuf), 0_MPI_OFFSET_KIND, count)
		call check(datatype, extra_state, ierror)
	end subroutine

	subroutine check(datatype, extra_state, ierror)
		TYPE_OF_TYPES :: datatype
		integer(kind=MPI_ADDRESS_KIND) :: extra_state
		integer :: ierror
		calls = calls + 1
		ierror = MPI_SUCCESS
		if (datatype /= MPI_INTEGER .or. extra_state /= 1234567) ierror = MPI_ERR_OTHER
	end subroutine

	subroutine extent(datatype, bytes, extra_state, ierror)
		TYPE_OF_TYPES :: datatype
		integer(kind=MPI_ADDRESS_KIND) :: bytes, extra_state
		integer :: ierror, own
		call MPI_Type_size(datatype, own, ierror)
		bytes = own
		if (extra_state /= 1234567) ierror = MPI_ERR_OTHER
	end subroutine

	subroutine fails(datatype, bytes, extra_state, ierror)
		TYPE_OF_TYPES :: datatype
		integer(kind=MPI_ADDRESS_KIND) :: bytes, extra_state
		integer :: ierror
		bytes = extra_state
		ierror = MPI_ERR_OTHER
		if (datatype /= MPI_INTEGER) bytes = 0
	end subroutine

	subroutine register(name)
		character(len=*), intent(in) :: name
		integer(kind=MPI_ADDRESS_KIND), save :: extra_state
		integer :: ierr
		extra_state = 1234567
		call MPI_Register_datarep(name, get, put, extent, extra_state, ierr)
		call must(ierr == MPI_SUCCESS, 3)
		call MPI_Register_datarep(name, get, put, extent, extra_state, ierr)
		call must(ierr /= MPI_SUCCESS, 4) ! there is one
		call MPI_Register_datarep('failing', get, put, fails, extra_state, ierr)
		call must(ierr == MPI_SUCCESS, 5)
#ifndef NO_NULL
		call MPI_Register_datarep('as in memory', MPI_CONVERSION_FN_NULL, MPI_CONVERSION_FN_NULL, extent, extra_state, ierr)
		call must(ierr == MPI_SUCCESS, 6)
#endif
#ifndef OPENMPI
		extra_state = 0 ! its value counts at the call; Open MPI keeps its address
#endif
	end subroutine

	subroutine must(ok, code)
		logical, intent(in) :: ok
		integer, intent(in) :: code
		integer :: ierr
		if (.not. ok) call MPI_Abort(MPI_COMM_WORLD, code, ierr)
	end subroutine
end module

program datarep
	use turned
	implicit none
#ifdef F08
	type(MPI_File) :: fh
#else
	integer :: fh
#endif
	integer :: ierr, me, ints(100), got(100), i
	integer(kind=MPI_OFFSET_KIND) :: at
	character(len=1000) :: name

	call MPI_Init(ierr)
	call MPI_Comm_rank(MPI_COMM_WORLD, me, ierr)
	call get_command_argument(1, name)
	call register('turned  ')
	ints = [(1000 * me + i, i = 1, 100)]
	call MPI_File_open(MPI_COMM_WORLD, trim(name), MPI_MODE_RDWR + MPI_MODE_CREATE, MPI_INFO_NULL, fh, ierr)
	call must(ierr == MPI_SUCCESS, 7)
	at = 0
	call MPI_File_set_view(fh, at, MPI_INTEGER, MPI_INTEGER, 'failing', MPI_INFO_NULL, ierr)
	call must(ierr /= MPI_SUCCESS, 8)
	call MPI_File_set_view(fh, at, MPI_INTEGER, MPI_INTEGER, 'turned', MPI_INFO_NULL, ierr)
	call must(ierr == MPI_SUCCESS, 9)
	at = 100 * me
	call MPI_File_write_at_all(fh, at, ints, 100, MPI_INTEGER, MPI_STATUS_IGNORE, ierr)
	call must(ierr == MPI_SUCCESS .and. calls > 0, 10)
	call MPI_File_read_at_all(fh, at, got, 100, MPI_INTEGER, MPI_STATUS_IGNORE, ierr)
	call must(ierr == MPI_SUCCESS .and. all(got == ints) .and. calls > 1, 11)
	at = 0
#ifdef NO_NULL
	call MPI_File_set_view(fh, at, MPI_INTEGER, MPI_INTEGER, 'native', MPI_INFO_NULL, ierr)
#else
	call MPI_File_set_view(fh, at, MPI_INTEGER, MPI_INTEGER, 'as in memory', MPI_INFO_NULL, ierr)
#endif
	call must(ierr == MPI_SUCCESS, 12)
	at = 100 * me
	call MPI_File_read_at_all(fh, at, got, 100, MPI_INTEGER, MPI_STATUS_IGNORE, ierr)
	call must(ierr == MPI_SUCCESS, 13)
	do i = 1, 100
		call must(got(i) == turn(ints(i)), 14)
	end do
	call MPI_File_close(fh, ierr)
	call must(ierr == MPI_SUCCESS, 15)
	call MPI_Finalize(ierr)
end program

#!/bin/bash
# workflow.sh -- six steps that hand files to each other: shell, MPI, Python, tar; none of them knows of pmio
#
#	./workflow.sh FOLDER "mpirun -n 2" /path/to/heat2d
#	pmio run --paths '/pfs/run7/*' -- ./workflow.sh /pfs/run7 "mpirun -n 2" ./heat2d
#
# FOLDER gets the same files, byte for byte, with and without pmio; in the second case all of them are written to and read
# from persistent memory, and drained to FOLDER.
set -eu
folder=$1 mpirun=$2 heat2d=$3
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder"
cd "$folder"

echo "1 prepare: a shell script writes the parameters, a line at a time"
echo "steps = 120" >parameters.txt
for part in 40 80; do
	echo "part = $part" >>parameters.txt
done

echo "2 simulate: MPI, the first part"
# shellcheck disable=SC2086
$mpirun "$heat2d" --steps "$(awk '/^part/ { print $3; exit }' parameters.txt)" "$folder/first.dat" >simulate.log

echo "3 simulate: MPI, the rest from the checkpoint, with other ranks"
# shellcheck disable=SC2086
$mpirun "$heat2d" --steps "$(sed -n 's/^part = //p' parameters.txt | tail -n 1)" --restart-from "$folder/first.dat" "$folder/last.dat" >>simulate.log

echo "4 analyse: Python reads what the ranks have written"
python3 "$here/analyse.py" first.dat last.dat rows.csv summary.json

echo "5 reduce: filters in pipes, and a file that is written over in place"
sort -t, -k2,2gr rows.csv | head -n 20 | gzip -9n >hottest.csv.gz
sed -i 's/^part/done/' parameters.txt
md5sum first.dat last.dat rows.csv >sums.txt

echo "6 pack: an archive, checked, and what is in it removed"
rm -f simulate.log # times differ
tar --sort=name --owner=0 --group=0 --mtime=@0 -cf - first.dat rows.csv hottest.csv.gz sums.txt parameters.txt | gzip -n >results.tar.gz
md5sum --quiet -c sums.txt
tar -xOzf results.tar.gz rows.csv | cmp - rows.csv
rm -f first.dat rows.csv hottest.csv.gz

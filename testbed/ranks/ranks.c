/* Each rank of an MPI program says who it is, and what the numbers of all of them, counted from 1, add up to. */
#include <mpi.h>
#include <stdio.h>

int main(int count, char **words) {
    int rank, ranks, mine, sum, length;
    char host[MPI_MAX_PROCESSOR_NAME];
    MPI_Init(&count, &words);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    MPI_Get_processor_name(host, &length);
    mine = rank + 1;
    MPI_Allreduce(&mine, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    printf("rank %d of %d on %s: the sum is %d\n", rank, ranks, host, sum);
    return MPI_Finalize();
}

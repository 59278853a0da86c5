/* Lotka-Volterra, stochastic (tau leaping): prey and predators on 10 days.
   usage: lotka_volterra PARAMETERS SEED > OUTPUT
   PARAMETERS: lines "name value"; with 'fail' among them it crashes or hangs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
#include <unistd.h>

static double uniform(void) { return (rand() + 0.5) / (RAND_MAX + 1.0); }

static double normal(void) {
    return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

static double positive(double x) { return x > 0 ? x : 0; }

int main(int argc, char **argv) {
    double birth = 0, death = 0, fail = 1, value, prey = 50, predators = 20;
    char name[64];
    FILE *file = argc == 3 ? fopen(argv[1], "r") : NULL;
    if (!file) { fprintf(stderr, "no parameters\n"); return 2; }
    while (fscanf(file, "%63s %lf", name, &value) == 2) {
        if (!strcmp(name, "birth")) birth = value;
        if (!strcmp(name, "death")) death = value;
        if (!strcmp(name, "fail")) fail = value;
    }
    srand((unsigned)atol(argv[2]));
    if (fail < 0.05) { fprintf(stderr, "about to crash\n"); abort(); }
    if (fail < 0.07) for (;;) pause();
    for (int step = 0; step < 1000; step++) {
        double dt = 0.01, meet = 0.01 * prey * predators;
        double born = positive(birth * prey * dt + sqrt(birth * prey * dt) * normal());
        double eaten = positive(meet * dt + sqrt(meet * dt) * normal());
        double dead = positive(death * predators * dt
                               + sqrt(death * predators * dt) * normal());
        prey = positive(prey + born - eaten);
        predators = positive(predators + 0.5 * eaten - dead);
        if (step % 100 == 99) printf("%.17g %.17g\n", log1p(prey), log1p(predators));
    }
    return 0;
}

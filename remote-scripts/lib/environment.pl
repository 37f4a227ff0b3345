# lib/environment.pl FILE WORD...: becomes this command, with the variables of FILE (words: `=TEXT` begins one, `+TEXT` is
# its next line) in its environment. For names that no shell can export, whose values must not stand in arguments.
# (No module is used: in a container there is nothing of perl's but perl.)
my $file = shift @ARGV;
open(my $in, '<', $file) or do { print STDERR "failed to read $file: $!\n"; exit 70 };
binmode $in;
my @words;
while (my $line = <$in>) {
    chomp $line;
    if ($line =~ s/^=//) { push @words, $line }
    elsif ($line =~ s/^\+//) { $words[-1] .= "\n$line" }
    else { print STDERR "$file is not made of words\n"; exit 70 }
}
close $in;
for my $word (@words) {
    my ($name, $value) = split /=/, $word, 2;
    $ENV{$name} = $value;
}
exec { $ARGV[0] } @ARGV or do { print STDERR "failed to start $ARGV[0]: $!\n"; exit 127 };

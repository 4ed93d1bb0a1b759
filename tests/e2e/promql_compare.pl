#!/usr/bin/perl
# promql_compare.pl SERVER PKI PROMETHEUS SEED QUERIES - generated queries, to both; every difference is printed.
use strict;
use warnings;
use JSON::PP;

my ($server, $pki, $prometheus, $seed, $queries) = @ARGV;
die "usage: promql_compare.pl SERVER PKI PROMETHEUS SEED QUERIES\n" unless defined $queries;
srand $seed;
my $end  = time - 5;
my $self = '{job="self"}';
# One metric each: where names meet, Prometheus drops them early unless it is told otherwise.
my @selectors = map { "$_$self" } qw(go_goroutines go_memstats_alloc_bytes prometheus_http_requests_total go_info
    prometheus_http_request_duration_seconds_bucket prometheus_tsdb_head_series);

sub pick { return $_[rand @_] }

sub selector {
    my $s = pick(@selectors);
    return $s . ' offset ' . (1 + int rand 8) . 's' if rand() < 0.15;
    return $s . ' @ ' . ($end - int rand 10) if rand() < 0.1;
    return $s;
}

sub vector {
    my ($depth) = @_;
    my $inner = sub { vector($depth - 1) };
    return selector() if $depth < 1;
    return pick(
        \&selector,
        sub { pick(qw(sum avg min max count group stddev stdvar)) . ' by (' . pick('', qw(job handler code le)) . ') (' . $inner->() . ')' },
        sub { pick(qw(sum avg min max count)) . ' without (' . pick(qw(le code handler)) . ') (' . $inner->() . ')' },
        sub { '(' . $inner->() . ') ' . pick(qw(+ - * / % ^ > < >= <= == !=), '> bool') . ' ' . pick(qw(2 0.5 1e3 time())) },
        sub {
            my $l = pick(qw(le code handler));
            "sum by (job, $l) (" . $inner->() . ') ' . pick(qw(+ - / > and or unless)) . " on (job, $l) sum by (job, $l) (" . $inner->() . ')';
        },
        sub { pick(qw(abs ceil floor exp sqrt sgn ln log2 sort timestamp hour day_of_week)) . '(' . $inner->() . ')' },
        sub { 'clamp(' . $inner->() . ', 1, 100)' },
        sub { pick(qw(max min count last sum avg stddev)) . '_over_time(sum(' . $inner->() . ')[7500ms:' . pick(2, 3) . 's])' }, # no step at the open end
        sub { pick(qw(topk bottomk)) . '(' . (1 + int rand 3) . ', max(' . $inner->() . '))' }, # of equals any may be taken
        sub { 'label_replace(' . $inner->() . ', "x", "$1-y", "handler", "/(.*)")' },
        sub { 'histogram_quantile(' . pick(qw(0.5 0.9 0.99)) . ", prometheus_http_request_duration_seconds_bucket$self)" },
    )->();
}

sub ask {
    my ($base, $path, $query, @tls) = @_;
    my @form = $path eq 'query' ? ("time=$end") : ('start=' . ($end - 10), "end=$end", 'step=5');
    open my $out, '-|', 'curl', '-sS', @tls, "$base/api/v1/$path", '--data-urlencode', "query=$query", map { ('-d', $_) } @form
        or die "curl: $!\n";
    local $/;
    my $text = <$out>;
    close $out;
    return decode_json($text);
}

# Labels to "time value …", so that order and form do not count; numbers to 9 digits.
sub flat {
    my ($doc) = @_;
    return 'error' if $doc->{status} ne 'success';
    my $data = $doc->{data};
    return $data->{result}[1] if $data->{resultType} =~ /^(scalar|string)$/;
    my $coder = JSON::PP->new->canonical;
    my @lines;
    for my $s (@{ $data->{result} }) {
        my @points = $s->{values} ? @{ $s->{values} } : ($s->{value});
        push @lines, $coder->encode($s->{metric}) . join '', map { " $_->[0]:" . ($_->[1] =~ /^[-+]?[\d.]/ ? sprintf '%.9g', $_->[1] : $_->[1]) } @points;
    }
    return join "\n", sort @lines;
}

my $differ = 0;
for my $i (1 .. $queries) {
    my $query = vector(3);
    my $path  = $i % 2 ? 'query' : 'query_range';
    my $us    = flat(ask($server, $path, $query, '--cacert', "$pki/ca.crt", '--cert', "$pki/admin.crt", '--key', "$pki/admin.key"));
    my $them  = flat(ask($prometheus, $path, $query));
    next if $us eq $them;
    $differ++;
    print "seed $seed, $path at $end: $query\n-- ours\n$us\n-- Prometheus'\n$them\n";
}
print "$queries queries of seed $seed, $differ differ\n";
exit($differ ? 1 : 0);

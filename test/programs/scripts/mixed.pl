use strict; use warnings;
my @w=map{join '',map{chr(97+($_*7919)%26)}($_..$_+$_%7)}1..3000;
my %c;$c{$_}++ for @w; printf "%s %d\n",$_,$c{$_} for (sort {$c{$b}<=>$c{$a}||$a cmp $b} keys %c)[0..9];
my $t=join ' ',@w; my $n=()=$t=~/\b(\w)\w*\1\b/g; print "$n\n";
(my $u=$t)=~s/([aeiou])(?=[^aeiou])/<\U$1>/g; print substr($u,0,200),"\n",length $u,"\n";
print "$1-$2\n" while "a=1,b=22,c=333"=~/(?<k>\w)=(\d+)/g;
print join("|",split /(?<=,)|\s+/,"a,b c,d  e"),"\n";
"aaaabbbb"=~/^(a+?)(a*)(b{2,3})(?{ print "code $1 $2\n" })b$/ and print "$1 $2 $3\n";
my $re=qr/\((?:[^()]++|(?R))*\)/; print "$&\n" if "x(a(b)c(d(e)))y"=~$re;
for my $v (0.1,1/3,1e308*10,-9**9**9,5e-324,2**53+1,-0.0,1e15,123456789012345678,1.5,2.5,0.5,1e21){ printf "%s %.17g %.0f %e %g %a|%-12.3f|%+d\n",$v,$v,abs($v)<1e30?$v:0,$v,$v,$v,abs($v)<1e9?$v:1,abs($v)<1e9?$v:3}
my $x=0; $x=($x*31+$_)%1000003 for 1..500000; print "$x\n";
my @s=sort{$a<=>$b}map{sin($_)*1000}1..2000; printf "%.15g %.15g\n",$s[0],$s[-1];
print join(",",map{sprintf"%vd",$_}"1.22.333"),"\n", pack("NnCa3",1,2,3,"xyz")=~/xyz/?"ok":"no",unpack("H*",pack("d<f>q>w",1.1,2.2,-5,300)),"\n";
local $@; eval{die{code=>7}}; print $@->{code},"\n"; print "caught: $@" unless eval{my $z=1/0;1};
my $fact=1; {use bigint; $fact*=$_ for 1..50; print "$fact\n";}
print "\x{263a}"=~/\p{So}/?"uni\n":"no\n"; use Encode; print length(encode("UTF-8","\x{1F600}")),"\n";
open my $p,"-|","echo from child; exit 3" or die; print <$p>; close $p; print $?>>8,"\n"; local $SIG{ALRM}=sub{die "alarm\n"}; eval{alarm 1; 1 while 1;}; print $@; print sprintf("%s",10/3),"\n", join(",",reverse 1..5),"\n", lc("ÀB"),"\n"; printf "%b %o %x %#x %e\n",10,64,255,255,12345.678;
